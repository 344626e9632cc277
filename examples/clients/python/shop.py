"""A shop's client: sets stock, places an order, ships it, takes it back; then reads refusals.

    pip install -r requirements.txt
    python -m grpc_tools.protoc -I ../../../proto --python_out=gen --pyi_out=gen --grpc_python_out=gen \\
        $(cd ../../../proto && find ordinal -name '*.proto')
    PYTHONPATH=gen python shop.py 127.0.0.1:7400
"""

import json
import pathlib
import sys
import time
import uuid

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2
from google.type.money_pb2 import Money
from grpc_status import rpc_status

# Also those that refusals.json names by their path only.
from ordinal.admin.v1 import admin_pb2  # noqa: F401
from ordinal.inventory.v1 import inventory_pb2, inventory_pb2_grpc
from ordinal.ledger.v1 import ledger_pb2  # noqa: F401
from ordinal.notifications.v1 import notifications_pb2  # noqa: F401
from ordinal.orders.v1 import orders_pb2, orders_pb2_grpc
from ordinal.payments.v1 import payments_pb2  # noqa: F401

PATIENCE = 20
CUSTOMER = str(uuid.uuid4())


def caller(role, subject):
    """The caller. If the engine has tokens, send `authorization: Bearer TOKEN` instead."""
    return (("ordinal-role", role), ("ordinal-subject", subject))


WHO = {
    "customer": caller("customer", CUSTOMER),
    "stranger": caller("customer", str(uuid.uuid4())),
    "service": caller("service", "shop"),
    "ops": caller("ops", "anna"),
}


def decoded(error):
    """The machine-readable part of a refusal: code, reason, metadata, invalid fields, retry delay."""
    return read(rpc_status.from_call(error))


def read(status):
    """The same for a google.rpc.Status, as in answers of a stream."""
    said = {"code": grpc_code(status.code), "message": status.message, "metadata": {}, "fields": [], "retry": None}
    for detail in status.details:
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            said |= {"reason": info.reason, "domain": info.domain, "metadata": dict(info.metadata)}
        elif detail.Unpack(bad):
            said["fields"] = [(v.field, v.reason, v.description) for v in bad.field_violations]
        elif detail.Unpack(retry):
            said["retry"] = retry.retry_delay.ToMilliseconds() / 1000
    return said


def grpc_code(number):
    return next(code.name for code in grpc.StatusCode if code.value[0] == number)


class Shop:
    def __init__(self, channel):
        self.channel = channel
        self.orders = orders_pb2_grpc.OrderServiceStub(channel)
        self.stock = inventory_pb2_grpc.InventoryServiceStub(channel)

    def place(self, quantity):
        request = orders_pb2.PlaceOrderRequest(
            customer_id=CUSTOMER,
            lines=[
                orders_pb2.NewLine(
                    sku="MUG", quantity=quantity, unit_price=Money(currency_code="GBP", units=12, nanos=500_000_000)
                )
            ],
            address=orders_pb2.Address(street="1 High Street", city="London", postal_code="EC1A 1BB", country="GB"),
            contact=orders_pb2.Contact(email="customer@example.com"),
            # Sent again with the same id and content, it is the same order.
            options=orders_pb2.CommandOptions(request_id=str(uuid.uuid4())),
        )
        order = self.orders.PlaceOrder(request, metadata=WHO["customer"], timeout=5).order
        end = time.monotonic() + PATIENCE
        while order.status == orders_pb2.ORDER_STATUS_PENDING and time.monotonic() < end:
            time.sleep(0.02)
            order = self.orders.GetOrder(
                orders_pb2.GetOrderRequest(order_id=order.order_id), metadata=WHO["customer"], timeout=5
            ).order
        return order

    def fulfill(self, order_id):
        request = orders_pb2.FulfillOrderRequest(order_id=order_id, carrier="Royal Mail", tracking="RM123456785GB")
        return self.orders.FulfillOrder(request, metadata=WHO["service"], timeout=5).order

    def request_return(self, order_id, units, request_id):
        request = orders_pb2.RequestReturnRequest(
            order_id=order_id,
            lines=[orders_pb2.LineUnits(line=1, quantity=units)],
            reason="too small",
            options=orders_pb2.CommandOptions(request_id=request_id),
        )
        return self.orders.RequestReturn(request, metadata=WHO["customer"], timeout=5).order

    def approve_return(self, order_id):
        request = orders_pb2.ApproveReturnRequest(order_id=order_id)
        return self.orders.ApproveReturn(request, metadata=WHO["ops"], timeout=5).order

    def refused(self, who, path, request):
        """Calls a method by its path; returns its refusal."""
        service, method = path.split("/")
        found = descriptor_pool.Default().FindServiceByName(service).FindMethodByName(method)
        message = json_format.ParseDict(request, message_factory.GetMessageClass(found.input_type)())
        answer = message_factory.GetMessageClass(found.output_type)
        call = self.channel.unary_unary(
            f"/{path}", request_serializer=lambda m: m.SerializeToString(), response_deserializer=answer.FromString
        )
        try:
            call(message, metadata=WHO[who], timeout=5)
        except grpc.RpcError as error:
            return decoded(error)
        raise AssertionError(f"{path} was accepted")


def shown(order):
    status = orders_pb2.OrderStatus.Name(order.status).removeprefix("ORDER_STATUS_")
    refunded = order.refunded
    return f"{status}, refunded {refunded.units}.{refunded.nanos // 10_000_000:02} {refunded.currency_code}"


def main(address):
    with grpc.insecure_channel(address) as channel:
        shop = Shop(channel)
        shop.stock.SetStock(
            inventory_pb2.SetStockRequest(sku="MUG", on_hand=100), metadata=WHO["ops"], timeout=5
        )
        order = shop.place(2)
        print("PlaceOrder:", shown(order))
        known = {"returned": order.order_id, "absent": str(uuid.uuid4()), "used": str(uuid.uuid4())}
        print("FulfillOrder:", shown(shop.fulfill(order.order_id)))
        print("RequestReturn:", shown(shop.request_return(order.order_id, 2, str(uuid.uuid4()))))
        print("ApproveReturn:", shown(shop.approve_return(order.order_id)))

        # Orders in other states, for further refusals.
        known["confirmed"] = shop.place(1).order_id
        known["fulfilled"] = shop.fulfill(shop.place(1).order_id).order_id
        known["waiting"] = shop.fulfill(shop.place(1).order_id).order_id
        shop.request_return(known["waiting"], 1, known["used"])
        refusals = pathlib.Path(__file__).resolve().parent.parent / "refusals.json"
        for case in json.loads(refusals.read_text()):
            request = json.dumps(case["request"])
            for name, value in known.items():
                request = request.replace("{" + name + "}", value)
            check(case, shop.refused(case["as"], case["call"], json.loads(request)))

        # In a stream, a refusal is an answer.
        nobodys = orders_pb2.CancelOrderRequest(order_id=known["absent"])
        commands = iter([orders_pb2.ExecuteCommandsRequest(tag=7, cancel_order=nobodys)])
        answer = next(shop.orders.ExecuteCommands(commands, metadata=WHO["ops"], timeout=5))
        check({"code": "NOT_FOUND", "reason": "NOT_FOUND"}, read(answer.refused))


def check(case, said):
    """Compares with refusals.json and prints it."""
    assert said["domain"] == "ordinal" and said["message"], said
    assert (said["code"], said["reason"]) == (case["code"], case["reason"]), said
    assert [field for field, _, _ in said["fields"]] == case.get("fields", []), said
    assert sorted(said["metadata"]) == case.get("metadata", []), said
    assert (said["retry"] is not None) == case.get("retry", False), said
    told = [f"{field}: {description}" for field, _, description in said["fields"]]
    told += [f"{key}={value}" for key, value in sorted(said["metadata"].items()) if key != "violations"]
    told += [f"again after {said['retry']:g} s"] if said["retry"] else []
    print(f"{said['code']} {said['reason']}: {'; '.join(told) or said['message']}")


if __name__ == "__main__":
    main(sys.argv[1])
