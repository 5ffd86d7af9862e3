"""A client by openapi-generator, used for one story.

Arguments: URL EMAIL PASSWORD OFFICE PICTURE.
`OFFICE` is the URL that receives the webhooks of a regional office.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import automart_openapi as generated
from pydantic import SecretStr


def with_token(url: str, token: str) -> generated.ApiClient:
    return generated.ApiClient(generated.Configuration(host=url, access_token=token))


def partner_of(url: str, created: generated.PartnerClientWithSecret) -> generated.ApiClient:
    token = generated.OauthApi(with_token(url, "")).create_token(
        "client_credentials", client_id=created.client_id, client_secret=created.client_secret
    )
    return with_token(url, token.access_token)


def ended(api: generated.ApiClient, started: generated.Job) -> Any:
    job: Any = started.actual_instance
    while job.state in ("queued", "running"):
        time.sleep(0.1)
        job = generated.JobsApi(api).get_job(job.id).actual_instance
    assert job.state == "succeeded", job
    return job


def book_car(api: generated.ApiClient, make: generated.Make, model: str, customer: int) -> None:
    inventory = generated.InventoryApi(api)
    new_dealer = generated.NewDealer(name="Example Cars", location="Springfield")
    dealer = inventory.create_dealer(new_dealer)
    new_car = generated.NewCar(
        brand=make.name,
        model=model,
        year=2024,
        color="red",
        daily_price=45.5,
        vin="1M8GDM9AXKP042788",
        dealer_id=dealer.id,
    )
    car = inventory.create_car(new_car)
    new_booking = generated.NewBooking(
        car_id=car.id,
        customer_id=customer,
        start_datetime=datetime(2030, 1, 1, tzinfo=UTC),
        end_datetime=datetime(2030, 1, 3, tzinfo=UTC),
    )
    booking = inventory.create_booking(new_booking)
    assert booking.total_price == 91
    problem = None
    try:
        inventory.create_booking(new_booking)
    except generated.ApiException as refused:
        problem = refused
    assert problem
    assert problem.data
    assert (problem.status, problem.data.in_the_way.booking_id) == (409, booking.id)


def plan_production(api: generated.ApiClient) -> None:
    production = generated.ProductionApi(api)
    new_location = generated.NewLocation(
        name="Works",
        address_1="Main Street 1",
        city="Springfield",
        state="IL",
        postal_code="62701",
        country_code="US",
    )
    location = production.create_location(new_location)
    new = generated.NewFactory(name="One", location_id=location.id, sprocket_production_goal=5)
    factory = production.create_factory(new)
    chart = production.get_factory_chart(factory.id)
    assert len(chart.time) == len(chart.sprocket_production_goal)


def sell(api: generated.ApiClient, url: str, make: generated.Make, model: str, to: str) -> None:
    partners = generated.PartnersApi(api)
    office = partners.create_regional_office(generated.NewOffice(name="North", webhook_url=to))
    new_client = generated.NewPartnerClient(name="Till")
    seller = partner_of(url, partners.create_regional_office_client(office.id, new_client))
    sale = generated.NewSale(external_order_number="A-1", brand=make.name, car_model=model)
    purchase = ended(seller, generated.PurchasesApi(seller).report_sale(sale)).result
    new_maker = generated.NewManufacturer(name="Works", make_ids=[make.id])
    maker = partners.create_manufacturer(new_maker)
    line = partner_of(url, partners.create_manufacturer_client(maker.id, new_client))
    change = generated.StateChange(state="manufacturing")
    moved = generated.PurchasesApi(line).update_purchase_state(purchase.id, change)
    assert moved.state == "manufacturing"


def main(url: str, email: str, password: str, office_url: str, picture: str) -> None:
    login = generated.PersonLogin(email=email, password=SecretStr(password))
    token = generated.LoginApi(with_token(url, "")).log_in(generated.LogInRequest(login))
    api = with_token(url, token.access_token)
    catalogue = generated.CatalogueApi(api)
    make = catalogue.list_makes().items[0]
    wanted = generated.NewVehicleSync(make_ids=[make.id])
    assert ended(api, catalogue.start_vehicle_sync(new_vehicle_sync=wanted)).result
    model = catalogue.list_make_models(make.id).items[0].name

    customers = generated.CustomersApi(api)
    new = generated.NewCustomer(first_name="Ada", last_name="Example", email="ada@example.com")
    customer = customers.create_customer(new)
    changes = generated.CustomerChanges(phone="+1 555 0100")
    changed = customers.update_customer(customer.id, changes)
    assert (changed.first_name, changed.phone) == ("Ada", "+1 555 0100")
    photo = ("ada.png", Path(picture).read_bytes())
    assert customers.replace_customer_photo(customer.id, photo).photo_url
    book_car(api, make, model, customer.id)
    plan_production(api)
    sell(api, url, make, model, office_url)
    print("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
