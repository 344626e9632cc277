// A shop's client: sets stock, places an order, ships it, takes it back; then reads refusals.
//
//     npm install && npm run build && npm start -- http://127.0.0.1:7400
//
// A second argument is the protocol: grpc, or what browsers speak: grpc-web, connect, connect-json.

import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { createRegistry, fromJson, type DescMethodUnary, type JsonValue, type Message } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { type CallOptions, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";

import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
  type BadRequest,
  type ErrorInfo,
  type RetryInfo,
} from "./gen/google/rpc/error_details_pb.js";
import type { Status } from "./gen/google/rpc/status_pb.js";
import { file_ordinal_admin_v1_admin } from "./gen/ordinal/admin/v1/admin_pb.js";
import { InventoryService, file_ordinal_inventory_v1_inventory } from "./gen/ordinal/inventory/v1/inventory_pb.js";
import { file_ordinal_ledger_v1_ledger } from "./gen/ordinal/ledger/v1/ledger_pb.js";
import { file_ordinal_notifications_v1_notifications } from "./gen/ordinal/notifications/v1/notifications_pb.js";
import {
  type Order,
  OrderService,
  OrderStatus,
  file_ordinal_orders_v1_orders,
} from "./gen/ordinal/orders/v1/orders_pb.js";
import { file_ordinal_payments_v1_payments } from "./gen/ordinal/payments/v1/payments_pb.js";

const PATIENCE = 20_000;
const customerId = randomUUID();

/** Who calls. Where the engine has tokens, send `authorization: Bearer TOKEN` instead. */
const caller = (role: string, subject: string): CallOptions => ({
  headers: { "ordinal-role": role, "ordinal-subject": subject },
  timeoutMs: 5_000,
});

const who: Record<string, CallOptions> = {
  customer: caller("customer", customerId),
  stranger: caller("customer", randomUUID()),
  service: caller("service", "shop"),
  ops: caller("ops", "anna"),
};

/** What a refusal says for programs. */
interface Refusal {
  code: string;
  message: string;
  info: ErrorInfo | undefined;
  violations: BadRequest["fieldViolations"];
  retryAfterMs: number | undefined;
}

const millis = (retry: RetryInfo | undefined): number | undefined =>
  retry?.retryDelay && Number(retry.retryDelay.seconds) * 1_000 + retry.retryDelay.nanos / 1e6;

/** Names of google.rpc.Code: NOT_FOUND for Code.NotFound. */
const named = (code: number): string => (Code[code] ?? "OK").replace(/(?!^)([A-Z])/g, "_$1").toUpperCase();

function decoded(error: unknown): Refusal {
  const refused = ConnectError.from(error);
  return {
    code: named(refused.code),
    message: refused.rawMessage,
    info: refused.findDetails(ErrorInfoSchema)[0],
    violations: refused.findDetails(BadRequestSchema)[0]?.fieldViolations ?? [],
    retryAfterMs: millis(refused.findDetails(RetryInfoSchema)[0]),
  };
}

/** The same of a google.rpc.Status, as it stands in answers of a stream. */
function read(status: Status): Refusal {
  const details = createRegistry(ErrorInfoSchema, BadRequestSchema, RetryInfoSchema);
  const messages = status.details.map((detail) => anyUnpack(detail, details));
  const find = <T extends Message>(name: T["$typeName"]) => messages.find((it) => it?.$typeName === name) as T | undefined;
  return {
    code: named(status.code),
    message: status.message,
    info: find<ErrorInfo>("google.rpc.ErrorInfo"),
    violations: find<BadRequest>("google.rpc.BadRequest")?.fieldViolations ?? [],
    retryAfterMs: millis(find<RetryInfo>("google.rpc.RetryInfo")),
  };
}

class Shop {
  private readonly orders;
  private readonly stock;

  constructor(private readonly transport: Transport) {
    this.orders = createClient(OrderService, transport);
    this.stock = createClient(InventoryService, transport);
  }

  async setStock(sku: string, onHand: bigint): Promise<void> {
    await this.stock.setStock({ sku, onHand }, who["ops"]);
  }

  async place(quantity: number): Promise<Order> {
    const request = {
      customerId,
      lines: [{ sku: "MUG", quantity, unitPrice: { currencyCode: "GBP", units: 12n, nanos: 500_000_000 } }],
      address: { street: "1 High Street", city: "London", postalCode: "EC1A 1BB", country: "GB" },
      contact: { email: "customer@example.com" },
      // Sent again with the same id and content, it is the same order.
      options: { requestId: randomUUID() },
    };
    let { order } = await this.orders.placeOrder(request, who["customer"]);
    const end = Date.now() + PATIENCE;
    while (order?.status === OrderStatus.PENDING && Date.now() < end) {
      await sleep(20);
      ({ order } = await this.orders.getOrder({ orderId: order.orderId }, who["customer"]));
    }
    return present(order);
  }

  async fulfill(orderId: string): Promise<Order> {
    const request = { orderId, carrier: "Royal Mail", tracking: "RM123456785GB" };
    return present((await this.orders.fulfillOrder(request, who["service"])).order);
  }

  async requestReturn(orderId: string, quantity: number, requestId: string): Promise<Order> {
    const request = { orderId, lines: [{ line: 1, quantity }], reason: "too small", options: { requestId } };
    return present((await this.orders.requestReturn(request, who["customer"])).order);
  }

  async approveReturn(orderId: string): Promise<Order> {
    return present((await this.orders.approveReturn({ orderId }, who["ops"])).order);
  }

  /** Calls a method by its path; what it is refused with. */
  async refused(caller: string, path: string, request: JsonValue): Promise<Refusal> {
    const services = createRegistry(
      file_ordinal_admin_v1_admin,
      file_ordinal_inventory_v1_inventory,
      file_ordinal_ledger_v1_ledger,
      file_ordinal_notifications_v1_notifications,
      file_ordinal_orders_v1_orders,
      file_ordinal_payments_v1_payments,
    );
    const [service, name] = path.split("/");
    const method = services.getService(service ?? "")?.methods.find((it) => it.name === name);
    assert(method?.methodKind === "unary", path);
    const { headers, timeoutMs } = who[caller] ?? {};
    try {
      const message = fromJson(method.input, request);
      await this.transport.unary(method as DescMethodUnary, undefined, timeoutMs, headers, message);
    } catch (error) {
      return decoded(error);
    }
    return assert.fail(`${path} was accepted`);
  }

  /** In a stream, a refusal is an answer. */
  async refusedInStream(orderId: string): Promise<Refusal> {
    async function* commands() {
      yield { tag: 7n, command: { case: "cancelOrder" as const, value: { orderId } } };
    }
    for await (const { outcome } of this.orders.executeCommands(commands(), who["ops"])) {
      assert(outcome.case === "refused");
      return read(outcome.value);
    }
    return assert.fail("no answer");
  }
}

function present(order: Order | undefined): Order {
  assert(order);
  return order;
}

function shown({ status, refunded }: Order): string {
  assert(refunded);
  const cents = String(refunded.nanos / 10_000_000).padStart(2, "0");
  return `${OrderStatus[status]}, refunded ${refunded.units}.${cents} ${refunded.currencyCode}`;
}

/** A line of refusals.json: a call, and how it is refused. */
interface Case {
  as: string;
  call: string;
  request: JsonValue;
  code: string;
  reason: string;
  fields?: string[];
  metadata?: string[];
  retry?: boolean;
}

/** Compares with what refusals.json expects, and shows it. */
function check(expected: Pick<Case, "code" | "reason" | "fields" | "metadata" | "retry">, said: Refusal): void {
  const { code, message, info, violations, retryAfterMs } = said;
  assert(info?.domain === "ordinal" && message !== "", message);
  assert.deepEqual([code, info.reason], [expected.code, expected.reason]);
  assert.deepEqual(violations.map(({ field }) => field), expected.fields ?? []);
  assert.deepEqual(Object.keys(info.metadata).sort(), expected.metadata ?? []);
  assert.equal(retryAfterMs !== undefined, expected.retry ?? false);
  const told = violations.map(({ field, description }) => `${field}: ${description}`);
  for (const key of Object.keys(info.metadata).sort()) {
    if (key !== "violations") told.push(`${key}=${info.metadata[key]}`);
  }
  if (retryAfterMs !== undefined) told.push(`again after ${retryAfterMs / 1_000} s`);
  console.log(`${code} ${info.reason}: ${told.join("; ") || message}`);
}

/** The transport of a protocol. */
function speaking(protocol: string, baseUrl: string): Transport {
  const httpVersion = "1.1";
  switch (protocol) {
    case "grpc":
      return createGrpcTransport({ baseUrl });
    case "grpc-web":
      return createGrpcWebTransport({ baseUrl, httpVersion });
    case "connect":
      return createConnectTransport({ baseUrl, httpVersion, useBinaryFormat: true });
    case "connect-json":
      return createConnectTransport({ baseUrl, httpVersion, useBinaryFormat: false });
    default:
      return assert.fail(`no protocol ${protocol}`);
  }
}

const [address = "http://127.0.0.1:7400", protocol = "grpc"] = process.argv.slice(2);
const shop = new Shop(speaking(protocol, address));
await shop.setStock("MUG", 100n);
const returned = await shop.place(2);
console.log(`PlaceOrder: ${shown(returned)}`);
console.log(`FulfillOrder: ${shown(await shop.fulfill(returned.orderId))}`);
console.log(`RequestReturn: ${shown(await shop.requestReturn(returned.orderId, 2, randomUUID()))}`);
console.log(`ApproveReturn: ${shown(await shop.approveReturn(returned.orderId))}`);

// Orders in other states, for further refusals.
const known: Record<string, string> = { returned: returned.orderId, absent: randomUUID(), used: randomUUID() };
known["confirmed"] = (await shop.place(1)).orderId;
known["fulfilled"] = (await shop.fulfill((await shop.place(1)).orderId)).orderId;
const waiting = (await shop.fulfill((await shop.place(1)).orderId)).orderId;
known["waiting"] = (await shop.requestReturn(waiting, 1, known["used"] ?? "")).orderId;

const table = new URL("../../refusals.json", import.meta.url);
for (const refusal of JSON.parse(readFileSync(table, "utf8")) as Case[]) {
  const request = JSON.stringify(refusal.request).replace(/\{(\w+)\}/g, (all, name: string) => known[name] ?? all);
  check(refusal, await shop.refused(refusal.as, refusal.call, JSON.parse(request)));
}
// A stream of requests: only gRPC has it.
if (protocol === "grpc") {
  check({ code: "NOT_FOUND", reason: "NOT_FOUND" }, await shop.refusedInStream(known["absent"] ?? ""));
}
// Otherwise the connection is kept open for the next call.
process.exit(0);
