"""Places an order and cancels it, knowing nothing but the engine's address: the messages come from
gRPC reflection. Needs `pip install grpcio-reflection`.

    python examples/place_and_cancel.py 127.0.0.1:7400
"""

import sys
import uuid

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

SERVICE = "ordinal.orders.v1.OrderService"

channel = grpc.insecure_channel(sys.argv[1])
pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
customer = str(uuid.uuid4())


def call(name, request):
    method = pool.FindServiceByName(SERVICE).FindMethodByName(name)
    message = message_factory.GetMessageClass(method.input_type)()
    answer = message_factory.GetMessageClass(method.output_type)
    stub = channel.unary_unary(
        f"/{SERVICE}/{name}",
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=answer.FromString,
    )
    who = [("ordinal-role", "customer"), ("ordinal-subject", customer)]
    order = stub(json_format.ParseDict(request, message), metadata=who, timeout=5).order
    print(name, order.order_id, order.DESCRIPTOR.fields_by_name["status"].enum_type.values_by_number[order.status].name)
    return order.order_id


order_id = call("PlaceOrder", {
    "customer_id": customer,
    "lines": [{"sku": "MUG", "quantity": 2, "unit_price": {"currency_code": "GBP", "units": 12, "nanos": 500000000}}],
    "address": {"street": "1 High Street", "city": "London", "postal_code": "EC1A 1BB", "country": "GB"},
    "contact": {"email": "customer@example.com"},
    "options": {"request_id": str(uuid.uuid4())},
})
call("CancelOrder", {"order_id": order_id, "reason": "CANCEL_REASON_CUSTOMER_REQUEST"})

try:
    call("FulfillOrder", {"order_id": order_id})
except grpc.RpcError as error:
    print("FulfillOrder", error.code().name, error.details())
