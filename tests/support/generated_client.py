"""Uses a client that openapi-python-client has generated: logs in, and books a car.

Runs in the generator's environment, which has the client's dependencies. Arguments: the folder of
the package `automart_client`, the URL of a server, an e-mail address and a password.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

PACKAGE = "automart_client"


class Generated:
    """A generated client: its modules, and the connection of a user."""

    def __init__(self, url: str, email: str, password: str) -> None:
        self.models: Any = importlib.import_module(f"{PACKAGE}.models")
        package: Any = importlib.import_module(PACKAGE)
        self._client = package.Client(base_url=url)
        login = self.models.PersonLogin(email=email, password=password)
        token = self.call("login.log_in", body=login).access_token
        self._client = package.AuthenticatedClient(base_url=url, token=token)

    def call(self, operation: str, *arguments: Any, **more: Any) -> Any:
        """Call an operation, and return the model of its response."""
        module: Any = importlib.import_module(f"{PACKAGE}.api.{operation}")
        return module.sync(*arguments, client=self._client, **more)


def main(folder: str, url: str, email: str, password: str) -> None:
    sys.path.insert(0, folder)
    api = Generated(url, email, password)
    models = api.models
    (make,) = api.call("catalogue.list_makes").items

    new = models.NewCustomer(first_name="Ada", last_name="Example", email="ada@example.com")
    customer = api.call("customers.create_customer", body=new)
    changes = models.CustomerChanges(phone="+1 555 0100")
    changed = api.call("customers.update_customer", customer.id, body=changes)
    assert (changed.first_name, changed.phone) == ("Ada", "+1 555 0100")

    dealer = models.NewDealer(name="Example Cars", location="Springfield")
    dealer = api.call("inventory.create_dealer", body=dealer)
    model = api.call("catalogue.list_make_models", make.id).items[0]
    new_car = {"brand": make.name, "model": model.name, "year": 2024, "color": "red"}
    new_car |= {"daily_price": 45.5, "vin": "1M8GDM9AXKP042788", "dealer_id": dealer.id}
    car = api.call("inventory.create_car", body=models.NewCar.from_dict(new_car))
    new_booking = {"car_id": car.id, "customer_id": customer.id}
    new_booking["start_datetime"] = "2030-01-01T00:00:00Z"
    new_booking["end_datetime"] = "2030-01-03T00:00:00Z"
    body = models.NewBooking.from_dict(new_booking)
    booking = api.call("inventory.create_booking", body=body)
    assert booking.total_price == 91
    problem = api.call("inventory.create_booking", body=body)
    assert (problem.status, problem.in_the_way.booking_id) == (409, booking.id)
    print("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
