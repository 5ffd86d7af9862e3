// A client by openapi-typescript and openapi-fetch, used for one story:
// `node story.js URL EMAIL PASSWORD OFFICE PICTURE`.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./api.js";

type Schemas = components["schemas"];
type Api = Client<paths>;

const [url, email, password, officeUrl, picture] = process.argv.slice(2) as [
  string, string, string, string, string,
];

function found<T>({ data, error }: { data?: T; error?: unknown }): T {
  assert.ok(data !== undefined, JSON.stringify(error));
  return data;
}

function withToken(token: Schemas["Token"]): Api {
  return createClient<paths>({
    baseUrl: url,
    headers: { Authorization: `Bearer ${token.access_token}` },
  });
}

async function ended(api: Api, job: Schemas["Job"]): Promise<Schemas["Job"]> {
  while (job.state === "queued" || job.state === "running") {
    await sleep(100);
    job = found(await api.GET("/jobs/{job_id}", { params: { path: { job_id: job.id } } }));
  }
  assert.equal(job.state, "succeeded");
  return job;
}

async function partner(client: Schemas["PartnerClientWithSecret"]): Promise<Api> {
  const body = {
    grant_type: "client_credentials" as const,
    client_id: client.client_id,
    client_secret: client.client_secret,
  };
  const anyone = createClient<paths>({ baseUrl: url });
  return withToken(
    found(
      await anyone.POST("/oauth/token", {
        body,
        headers: { "Content-Type": "application/x-www-form-urlencoded" },
      }),
    ),
  );
}

const anyone = createClient<paths>({ baseUrl: url });
const api = withToken(found(await anyone.POST("/login", { body: { email, password } })));

const make = found(await api.GET("/v1/makes")).items[0];
assert.ok(make);
const started = await api.POST("/v1/vehicle-syncs", { body: { make_ids: [make.id] } });
const sync = await ended(api, found(started));
assert.ok(sync.kind === "vehicle_sync" && sync.result);

const created = found(
  await api.POST("/v1/customers", {
    body: { first_name: "Ada", last_name: "Example", email: "ada@example.com" },
  }),
);
const atCustomer = { params: { path: { customer_id: created.id } } };
const changed = found(
  await api.PATCH("/v1/customers/{customer_id}", { ...atCustomer, body: { phone: "+1 555 0100" } }),
);
assert.deepEqual([changed.first_name, changed.phone], ["Ada", "+1 555 0100"]);
const photo = new FormData();
photo.set("photo", new Blob([new Uint8Array(await readFile(picture))], { type: "image/png" }), "ada.png");
const shown = found(
  await api.PUT("/v1/customers/{customer_id}/photo", {
    ...atCustomer,
    body: { photo: "" },
    bodySerializer: () => photo,
  }),
);
assert.ok(shown.photo_url);

const dealer = found(
  await api.POST("/v1/dealers", { body: { name: "Example Cars", location: "Springfield" } }),
);
const model = found(
  await api.GET("/v1/makes/{make_id}/models", { params: { path: { make_id: make.id } } }),
).items[0];
assert.ok(model);
const car = found(
  await api.POST("/v1/cars", {
    body: {
      brand: make.name,
      model: model.name,
      year: 2024,
      color: "red",
      daily_price: 45.5,
      vin: "1M8GDM9AXKP042788",
      dealer_id: dealer.id,
    },
  }),
);
const newBooking = {
  car_id: car.id,
  customer_id: created.id,
  start_datetime: "2030-01-01T00:00:00Z",
  end_datetime: "2030-01-03T00:00:00Z",
};
const booking = found(await api.POST("/v1/bookings", { body: newBooking }));
assert.equal(booking.total_price, 91);
const { error } = await api.POST("/v1/bookings", { body: newBooking });
assert.deepEqual([error?.status, error?.in_the_way?.booking_id], [409, booking.id]);

const location = found(
  await api.POST("/v1/locations", {
    body: {
      name: "Works",
      address_1: "Main Street 1",
      city: "Springfield",
      state: "IL",
      postal_code: "62701",
      country_code: "US",
    },
  }),
);
const factory = found(
  await api.POST("/v1/factories", {
    body: { name: "One", location_id: location.id, sprocket_production_goal: 5 },
  }),
);
const chart = found(
  await api.GET("/v1/factories/{factory_id}/chart", {
    params: { path: { factory_id: factory.id } },
  }),
);
assert.ok(typeof chart !== "string"); // not the picture
assert.equal(chart.time.length, chart.sprocket_production_goal.length);

const office = found(
  await api.POST("/v1/regional-offices", { body: { name: "North", webhook_url: officeUrl } }),
);
const till = found(
  await api.POST("/v1/regional-offices/{office_id}/clients", {
    params: { path: { office_id: office.id } },
    body: { name: "Till" },
  }),
);
const seller = await partner(till);
const reported = await seller.POST("/v1/sales-webhook", {
  body: { external_order_number: "A-1", brand: make.name, car_model: model.name },
});
const sale = await ended(seller, found(reported));
assert.ok(sale.kind === "purchase_recording" && sale.result);
const maker = found(
  await api.POST("/v1/manufacturers", { body: { name: "Works", make_ids: [make.id] } }),
);
const line = found(
  await api.POST("/v1/manufacturers/{manufacturer_id}/clients", {
    params: { path: { manufacturer_id: maker.id } },
    body: { name: "Line" },
  }),
);
const moved = found(
  await (await partner(line)).POST("/v1/update-state-webhook/{purchase_id}", {
    params: { path: { purchase_id: sale.result.id } },
    body: { state: "manufacturing" },
  }),
);
assert.equal(moved.state, "manufacturing");
console.log("done");
