"""A client by openapi-python-client, used for one story.

Arguments: URL EMAIL PASSWORD OFFICE PICTURE.
`OFFICE` is the URL that receives the webhooks of a regional office.
"""

from __future__ import annotations

import io
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from automart_client import AuthenticatedClient, Client, models
from automart_client.api.catalogue import list_make_models, list_makes, start_vehicle_sync
from automart_client.api.customers import (
    create_customer,
    replace_customer_photo,
    update_customer,
)
from automart_client.api.inventory import create_booking, create_car, create_dealer
from automart_client.api.jobs import get_job
from automart_client.api.login import log_in
from automart_client.api.oauth import create_token
from automart_client.api.partners import (
    create_manufacturer,
    create_manufacturer_client,
    create_regional_office,
    create_regional_office_client,
)
from automart_client.api.production import (
    create_factory,
    create_location,
    get_factory,
    get_factory_chart,
)
from automart_client.api.purchases import report_sale, update_purchase_state
from automart_client.types import File


def log_in_to(url: str, email: str, password: str) -> AuthenticatedClient:
    login = models.PersonLogin(email=email, password=password)
    token = log_in.sync(client=Client(base_url=url), body=login)
    assert isinstance(token, models.Token)
    return AuthenticatedClient(base_url=url, token=token.access_token)


def partner_of(url: str, created: models.PartnerClientWithSecret) -> AuthenticatedClient:
    request = models.TokenRequest.from_dict(
        {
            "grant_type": "client_credentials",
            "client_id": created.client_id,
            "client_secret": created.client_secret,
        }
    )
    token = create_token.sync(client=Client(base_url=url), body=request)
    assert isinstance(token, models.Token)
    return AuthenticatedClient(base_url=url, token=token.access_token)


def ended(api: AuthenticatedClient, job: Any) -> Any:
    while job.state in ("queued", "running"):
        time.sleep(0.1)
        job = get_job.sync(job.id, client=api)
    assert job.state == "succeeded", job
    return job


def sync_catalogue(api: AuthenticatedClient) -> models.Make:
    page = list_makes.sync(client=api)
    assert isinstance(page, models.MakePage)
    make = page.items[0]
    wanted = models.NewVehicleSync(make_ids=[make.id])
    job = ended(api, start_vehicle_sync.sync(client=api, body=wanted))
    assert isinstance(job, models.VehicleSyncJob)
    assert isinstance(job.result, models.SyncResult)
    return make


def keep_customer(api: AuthenticatedClient, picture: bytes) -> models.Customer:
    new = models.NewCustomer(first_name="Ada", last_name="Example", email="ada@example.com")
    customer = create_customer.sync(client=api, body=new)
    assert isinstance(customer, models.Customer)
    changes = models.CustomerChanges(phone="+1 555 0100")
    changed = update_customer.sync(customer.id, client=api, body=changes)
    assert isinstance(changed, models.Customer)
    assert (changed.first_name, changed.phone) == ("Ada", "+1 555 0100")
    file = File(io.BytesIO(picture), "ada.png", "image/png")
    shown = replace_customer_photo.sync(
        customer.id, client=api, body=models.PhotoUpload(photo=file)
    )
    assert isinstance(shown, models.Customer)
    assert shown.photo_url
    return shown


def book_car(api: AuthenticatedClient, make: models.Make, customer: models.Customer) -> None:
    new_dealer = models.NewDealer(name="Example Cars", location="Springfield")
    dealer = create_dealer.sync(client=api, body=new_dealer)
    assert isinstance(dealer, models.Dealer)
    page = list_make_models.sync(make.id, client=api)
    assert isinstance(page, models.VehicleModelPage)
    new_car = models.NewCar(
        brand=make.name,
        model=page.items[0].name,
        year=2024,
        color="red",
        daily_price=45.5,
        vin="1M8GDM9AXKP042788",
        dealer_id=dealer.id,
    )
    car = create_car.sync(client=api, body=new_car)
    assert isinstance(car, models.Car)
    new_booking = models.NewBooking(
        car_id=car.id,
        customer_id=customer.id,
        start_datetime=datetime(2030, 1, 1, tzinfo=UTC),
        end_datetime=datetime(2030, 1, 3, tzinfo=UTC),
    )
    booking = create_booking.sync(client=api, body=new_booking)
    assert isinstance(booking, models.Booking)
    assert booking.total_price == 91
    problem = create_booking.sync(client=api, body=new_booking)
    assert isinstance(problem, models.Problem)
    assert problem.in_the_way
    assert (problem.status, problem.in_the_way.booking_id) == (409, booking.id)


def plan_production(api: AuthenticatedClient) -> None:
    new_location = models.NewLocation.from_dict(
        {
            "name": "Works",
            "address_1": "Main Street 1",
            "city": "Springfield",
            "state": "IL",
            "postal_code": "62701",
            "country_code": "US",
        }
    )
    location = create_location.sync(client=api, body=new_location)
    assert isinstance(location, models.Location)
    new = models.NewFactory(name="One", location_id=location.id, sprocket_production_goal=5)
    created = create_factory.sync(client=api, body=new)
    assert isinstance(created, models.Factory)
    factory = get_factory.sync(created.id, client=api)
    assert isinstance(factory, models.Factory)
    chart = get_factory_chart.sync(created.id, client=api)
    assert isinstance(chart, models.Chart)
    assert len(chart.time) == len(chart.sprocket_production_goal)


def sell(
    api: AuthenticatedClient, url: str, make: models.Make, model: str, office_url: str
) -> None:
    new_office = models.NewOffice(name="North", webhook_url=office_url)
    office = create_regional_office.sync(client=api, body=new_office)
    assert isinstance(office, models.OfficeWithSecret)
    new_client = models.NewPartnerClient(name="Till")
    till = create_regional_office_client.sync(office.id, client=api, body=new_client)
    assert isinstance(till, models.PartnerClientWithSecret)
    seller = partner_of(url, till)
    sale = models.NewSale(external_order_number="A-1", brand=make.name, car_model=model)
    job = ended(seller, report_sale.sync(client=seller, body=sale))
    assert isinstance(job, models.PurchaseRecordingJob)
    assert isinstance(job.result, models.Purchase)

    new_maker = models.NewManufacturer(name="Works", make_ids=[make.id])
    maker = create_manufacturer.sync(client=api, body=new_maker)
    assert isinstance(maker, models.Manufacturer)
    line = create_manufacturer_client.sync(maker.id, client=api, body=new_client)
    assert isinstance(line, models.PartnerClientWithSecret)
    change = models.StateChange.from_dict({"state": "manufacturing"})
    moved = update_purchase_state.sync(job.result.id, client=partner_of(url, line), body=change)
    assert isinstance(moved, models.Purchase)


def main(url: str, email: str, password: str, office_url: str, picture: str) -> None:
    api = log_in_to(url, email, password)
    make = sync_catalogue(api)
    page = list_make_models.sync(make.id, client=api)
    assert isinstance(page, models.VehicleModelPage)
    customer = keep_customer(api, Path(picture).read_bytes())
    book_car(api, make, customer)
    plan_production(api)
    sell(api, url, make, page.items[0].name, office_url)
    print("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
