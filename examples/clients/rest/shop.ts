// A shop's client by HTTP with JSON, with types from the OpenAPI document: sets stock, places an
// order, watches it, cancels it; then reads refusals.
//
//     npm install && npm run build && npm start -- http://127.0.0.1:7400

import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";

import createClient from "openapi-fetch";

import type { components, paths } from "./gen/ordinal.js";

type Line = components["schemas"]["WatchOrdersLine"];
type NewLine = components["schemas"]["orders.v1.NewLine"];
type Problem = components["schemas"]["Problem"];

const [baseUrl = "http://127.0.0.1:7400", token] = process.argv.slice(2);
const client = createClient<paths>({
  baseUrl,
  // An engine without tokens trusts callers on its own machine.
  headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
});
const customer_id = randomUUID();
const sku = `MUG-${customer_id.slice(0, 8)}`;

/** The answer of a call that must succeed. */
function answer<T>({ data, error }: { data?: T; error?: Problem }): T {
  assert(data !== undefined && error === undefined, JSON.stringify(error));
  return data;
}

/** The refusal of a call that must fail. */
function refusal({ error }: { error?: Problem }): string {
  assert(error !== undefined, "it was not refused");
  const fields = error.errors?.map((one) => ` ${one.field}`).join(",") ?? "";
  return `${error.status} ${error.code}${fields}`;
}

/** Every change of the customer's orders, from now on. */
async function* watch(stop: AbortSignal): AsyncGenerator<string> {
  const { data, error } = await client.GET("/v1/orders:watch", {
    params: { query: { customer_id } },
    headers: { accept: "application/x-ndjson" },
    parseAs: "stream",
    signal: stop,
  });
  assert(data, JSON.stringify(error));
  let text = "";
  for await (const piece of data.pipeThrough(new TextDecoderStream())) {
    const lines = (text + piece).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) {
      const item = JSON.parse(line) as Line;
      if ("problem" in item || "end" in item) return;
      // The first item says where the stream begins; a later one with a cursor resumes it.
      yield "change" in item && item.change?.event ? item.change.event.name : "begins";
    }
  }
}

async function trade(): Promise<void> {
  const stock = await client.PUT("/v1/stock/{sku}", {
    params: { path: { sku } },
    body: { on_hand: "100", reason: "counted" },
  });
  console.log(`stock: ${answer(stock).stock?.on_hand}`);

  const stop = new AbortController();
  const changes = watch(stop.signal);
  console.log(`watch: ${(await changes.next()).value}`);

  const unit_price = { currency_code: "GBP", units: "12", nanos: 500_000_000 };
  const lines: NewLine[] = [{ sku, quantity: 2, unit_price }];
  const address = { street: "1 High Street", city: "Leeds", postal_code: "LS1 1AA", country: "GB" };
  const place = (quantity: number) =>
    client.POST("/v1/orders", {
      params: { header: { "Idempotency-Key": `${customer_id}-${quantity}` } },
      body: { customer_id, lines: lines.map((line) => ({ ...line, quantity })), address },
    });
  const placed = await place(2);
  const order = answer(placed).order;
  assert(order);
  const location = placed.response.headers.get("location");
  assert.equal(location, `/v1/orders/${order.order_id}`);
  console.log(`place: ${placed.response.status} ${order.status}`);
  const again = await place(2);
  assert.equal(answer(again).order?.order_id, order.order_id);
  console.log(`the same again: ${again.response.status}, replayed: ${again.data?.replayed}`);
  console.log(`watch: ${(await changes.next()).value}`);
  console.log(`watch: ${(await changes.next()).value}`);

  const path = { order_id: order.order_id };
  const read = await client.GET("/v1/orders/{order_id}", { params: { path } });
  const etag = read.response.headers.get("etag");
  assert(etag);
  console.log(`get: ${answer(read).order?.status}, etag ${etag}`);

  const cancel = (version: string) =>
    client.POST("/v1/orders/{order_id}:cancel", {
      params: { path, header: { "If-Match": version } },
      body: { text: "by the example" },
    });
  console.log(`cancel of another version: ${refusal(await cancel('"1"'))}`);
  console.log(`cancel: ${answer(await cancel(etag)).order?.status}`);
  console.log(`watch: ${(await changes.next()).value}`);
  stop.abort();

  console.log(`no units: ${refusal(await place(0))}`);
  const unknown = { params: { path: { order_id: randomUUID() } } };
  console.log(`another order: ${refusal(await client.GET("/v1/orders/{order_id}", unknown))}`);
}

await trade();
