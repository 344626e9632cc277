#!/usr/bin/env bash
# A shop's calls with `buf curl`, which gets the messages from the engine's reflection: sets stock,
# places an order, ships it, takes it back; then reads refusals. The messages in their details
# are decoded with the protos of this checkout. Needs buf (npm: @bufbuild/buf) and jq.
#
#     ./shop.sh http://127.0.0.1:7400
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
address=${1:-http://127.0.0.1:7400}
orders=ordinal.orders.v1.OrderService
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

uuid() { cat /proc/sys/kernel/random/uuid; }
customer=$(uuid) stranger=$(uuid)

# The caller. If the engine has tokens, send `authorization: Bearer TOKEN` instead.
role() { case $1 in stranger) echo customer ;; *) echo "$1" ;; esac; }
subject() { case $1 in customer) echo "$customer" ;; stranger) echo "$stranger" ;; ops) echo anna ;; *) echo shop ;; esac; }

# call WHO METHOD REQUEST FLAGS...
call() {
  buf curl --protocol grpc --http2-prior-knowledge -H "ordinal-role: $(role "$1")" -H "ordinal-subject: $(subject "$1")" \
    -d "$3" "${@:4}" "$address/$2"
}

# The machine-readable part of a refusal. buf curl shows details as bytes; with -v it shows the whole
# google.rpc.Status too, as base64 without its end.
google=$work/google.binpb
(cd "$here/../../.." && buf build proto --path proto/google -o "$google")
codes='["OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
  "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"]'
# refused WHO METHOD REQUEST
refused() {
  local said status
  if said=$(call "$@" -v 2>&1); then
    echo "$2 was accepted" >&2
    exit 1
  fi
  status=$(sed -n 's/^.* < .*grpc-status-details-bin: //Ip' <<<"$said")
  while [ $((${#status} % 4)) != 0 ]; do status=$status=; done
  base64 -d <<<"$status" | buf convert "$google" --type google.rpc.Status --from -#format=binpb |
    jq -c --argjson codes "$codes" 'def of($name): .details[] | select(.["@type"] | endswith($name)); {
      code: $codes[.code], message,
      reason: of("ErrorInfo").reason, domain: of("ErrorInfo").domain, metadata: (of("ErrorInfo").metadata // {}),
      fields: [of("BadRequest").fieldViolations[]],
      retry: [of("RetryInfo").retryDelay]
    }'
}

# Compares with refusals.json and prints it.
check() {
  jq -e --argjson said "$2" '
    .code == $said.code and .reason == $said.reason and $said.domain == "ordinal" and $said.message != ""
    and (.fields // []) == [$said.fields[].field] and (.metadata // []) == ($said.metadata | keys)
    and (.retry // false) == ($said.retry != [])' <<<"$1" >/dev/null || { echo "expected $1, got $2" >&2; exit 1; }
  jq -r '. as $said | [
      (.fields[] | "\(.field): \(.description)"),
      (.metadata | to_entries[] | select(.key != "violations") | "\(.key)=\(.value)"),
      (.retry[] | "again after \(rtrimstr("s") | tonumber) s")
    ] | if . == [] then $said.message else join("; ") end | "\($said.code) \($said.reason): \(.)"' <<<"$2"
}

shown() {
  jq -r '.order | "\(.status | ltrimstr("ORDER_STATUS_")), refunded \(.refunded.units // 0).\((.refunded.nanos // 0) / 10000000 | tostring | if length < 2 then "0" + . else . end) \(.refunded.currencyCode)"'
}

# place QUANTITY: the id of an order that is confirmed
place() {
  local request order end=$((SECONDS + 20))
  request=$(jq -nc --argjson quantity "$1" --arg id "$(uuid)" '{
    lines: [{sku: "MUG", quantity: $quantity, unitPrice: {currencyCode: "GBP", units: 12, nanos: 500000000}}],
    address: {street: "1 High Street", city: "London", postalCode: "EC1A 1BB", country: "GB"},
    contact: {email: "customer@example.com"}, options: {requestId: $id}}')
  order=$(call customer $orders/PlaceOrder "$request" | jq -r .order.orderId)
  until [ "$(call customer $orders/GetOrder "{\"orderId\": \"$order\"}" | jq -r .order.status)" = ORDER_STATUS_CONFIRMED ]; do
    [ $SECONDS -lt $end ] || { echo "$order is not confirmed" >&2; exit 1; }
    sleep 0.1
  done
  echo "$order"
}
fulfill() { call service $orders/FulfillOrder "{\"orderId\": \"$1\", \"carrier\": \"Royal Mail\", \"tracking\": \"RM123456785GB\"}"; }
# return_of ORDER UNITS REQUEST_ID
return_of() {
  call customer $orders/RequestReturn \
    "{\"orderId\": \"$1\", \"lines\": [{\"line\": 1, \"quantity\": $2}], \"reason\": \"too small\", \"options\": {\"requestId\": \"$3\"}}"
}

call ops ordinal.inventory.v1.InventoryService/SetStock '{"sku": "MUG", "onHand": 100}' >/dev/null
returned=$(place 2)
echo "PlaceOrder: $(call customer $orders/GetOrder "{\"orderId\": \"$returned\"}" | shown)"
echo "FulfillOrder: $(fulfill "$returned" | shown)"
echo "RequestReturn: $(return_of "$returned" 2 "$(uuid)" | shown)"
echo "ApproveReturn: $(call ops $orders/ApproveReturn "{\"orderId\": \"$returned\"}" | shown)"

# Orders in other states, for further refusals.
absent=$(uuid) used=$(uuid) confirmed=$(place 1) fulfilled=$(place 1) waiting=$(place 1)
fulfill "$fulfilled" >/dev/null
fulfill "$waiting" >/dev/null
return_of "$waiting" 1 "$used" >/dev/null
while read -r refusal; do
  request=$(jq -c .request <<<"$refusal")
  for name in returned absent used confirmed fulfilled waiting; do request=${request//"{$name}"/${!name}}; done
  said=$(refused "$(jq -r .as <<<"$refusal")" "$(jq -r .call <<<"$refusal")" "$request")
  check "$refusal" "$said"
done < <(jq -c '.[]' "$here/../refusals.json")

# In a stream, a refusal is an answer; its details are messages of google.protobuf.Any.
answer=$(call ops $orders/ExecuteCommands "{\"tag\": 7, \"cancelOrder\": {\"orderId\": \"$absent\"}}")
jq -re '.refused | select(.code == 5) | "NOT_FOUND \(.details[0].reason): \(.message)"' <<<"$answer"
