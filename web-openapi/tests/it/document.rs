use serde_json::{Value, json};
use web_edge::Routes;
use web_openapi::{About, document};

use crate::{about, described, pool};

fn routes() -> Routes {
    let pool = pool(&["shop/v1/shop.proto"], &["tests/protos", "../proto"]);
    Routes::of(pool, |service| service == "shop.v1.ShopService").unwrap()
}

fn shop() -> Value {
    described(&routes()).1
}

fn schema<'a>(document: &'a Value, name: &str) -> &'a Value {
    &document["components"]["schemas"][name]
}

fn parameters(operation: &Value) -> Vec<String> {
    let all = operation["parameters"].as_array().cloned().unwrap_or_default();
    all.iter()
        .map(|one| match one["$ref"].as_str() {
            Some(reference) => reference.rsplit('/').next().unwrap().to_owned(),
            None => format!("{}:{}", one["in"].as_str().unwrap(), one["name"].as_str().unwrap()),
        })
        .collect()
}

#[test]
fn routes_become_operations_and_services_that_are_not_served_do_not() {
    let document = shop();
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (verb, operation) in operations.as_object().unwrap() {
            found.push(format!("{verb} {path} {}", operation["operationId"].as_str().unwrap()));
        }
    }
    found.sort();
    assert_eq!(
        found,
        [
            "get /v1/things/{thing_id} FindThing",
            "get /v1/things:find FindThing2",
            "patch /v1/things/{thing_id} ChangeThing",
            "put /v1/things PutThing",
        ]
    );
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], "1.2.3");
    assert_eq!(document["tags"], json!([{"name": "Shop", "description": "A shop."}]));
}

#[test]
fn comments_become_summaries_and_descriptions() {
    let document = shop();
    let find = &document["paths"]["/v1/things/{thing_id}"]["get"];
    assert_eq!(find["summary"], "Finds a thing");
    assert_eq!(
        find["description"],
        "Finds a thing. It may be gone.\n\nSecond paragraph.\n\nCallers: CUSTOMER, OPS. Scope, \
         where a token has scopes: `things.read`. Customers reach their own orders only.\n\nThe same call by gRPC: \
         `shop.v1.ShopService.FindThing`."
    );
    let thing = schema(&document, "shop.v1.Thing");
    assert_eq!(thing["description"], "A thing.");
    assert_eq!(thing["properties"]["words"]["description"], "Its words.");
    let matter = schema(&document, "shop.v1.Matter");
    assert_eq!(matter["enum"], json!(["MATTER_UNSPECIFIED", "MATTER_WOOD"]));
    let listed =
        "What a thing is made of.\n\n- `MATTER_UNSPECIFIED`: Nothing.\n- `MATTER_WOOD`: Wood.";
    assert_eq!(matter["description"], listed);
}

#[test]
fn fields_that_the_path_and_the_body_lack_are_in_the_query() {
    let document = shop();
    let find = &document["paths"]["/v1/things/{thing_id}"]["get"];
    let names = [
        "path:thing_id",
        "query:place.town",
        "query:place.made_of",
        "query:version",
        "query:time",
        "query:fields",
    ];
    assert_eq!(parameters(find), names);
    assert_eq!(find["parameters"][0]["required"], true);
    assert_eq!(find["parameters"][0]["schema"], json!({"type": "string", "format": "uuid"}));
    let found = &document["paths"]["/v1/things:find"]["get"];
    assert_eq!(parameters(found)[0], "query:thing_id");
}

#[test]
fn a_body_has_what_the_path_lacks() {
    let document = shop();
    let change = &document["paths"]["/v1/things/{thing_id}"]["patch"];
    let body = &change["requestBody"];
    assert_eq!(body["required"], true);
    let reference = &body["content"]["application/json"]["schema"]["$ref"];
    assert_eq!(reference, "#/components/schemas/ChangeThingBody");
    let body = schema(&document, "ChangeThingBody");
    let fields: Vec<&String> = body["properties"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["options", "reason"]);
    assert_eq!(body["required"], json!(["reason"]));
    assert_eq!(body["additionalProperties"], false);
    assert_eq!(parameters(change)[1..], ["Idempotency-Key", "If-Match"]);
    let put = &document["paths"]["/v1/things"]["put"];
    assert_eq!(parameters(put), ["validate_only"]);
    let body = &put["requestBody"];
    assert_eq!(body["required"], true);
    let reference = &body["content"]["application/json"]["schema"]["$ref"];
    assert_eq!(reference, "#/components/schemas/shop.v1.PutThingRequest");
}

#[test]
fn fields_of_every_kind_have_the_form_of_protobufs_json() {
    let document = shop();
    let fields = &schema(&document, "shop.v1.FindThingResponse")["properties"];
    let thing = &schema(&document, "shop.v1.Thing")["properties"];
    let list = "#/components/schemas/shop.v1.Thing";
    for (field, expected) in [
        (&fields["took"], json!({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"})),
        (
            &fields["count"],
            json!({"type": "integer", "format": "int64", "minimum": 0, "maximum": u32::MAX}),
        ),
        (
            &fields["mark"],
            json!({"type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$"}),
        ),
        (&fields["raw"], json!({"type": "string", "contentEncoding": "base64"})),
        (
            &thing["grams"],
            json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"}),
        ),
        (&thing["words"], json!({"type": "object", "additionalProperties": {"type": "string"}})),
        (&thing["parts"], json!({"type": "array", "items": {"$ref": list}})),
        (&thing["matter"], json!({"$ref": "#/components/schemas/shop.v1.Matter"})),
    ] {
        let mut field = field.clone();
        field.as_object_mut().unwrap().remove("description").unwrap();
        assert_eq!(field, expected);
    }
    assert_eq!(fields["details"]["required"], json!(["@type"]));
}

/// A field of an answer is required if it is always sent, one of a request if it must be given.
#[test]
fn required_fields_of_answers_are_those_that_are_always_sent() {
    let document = shop();
    let answer = schema(&document, "shop.v1.FindThingResponse");
    assert_eq!(answer["required"], json!(["mark", "raw", "numbers"]));
    assert!(answer.get("additionalProperties").is_none());
    let asked = schema(&document, "shop.v1.Thing");
    assert_eq!(asked["required"], json!(["thing_id"]));
    assert_eq!(asked["additionalProperties"], false);
}

#[test]
fn one_of_several_fields_says_so() {
    let document = shop();
    let find = &document["paths"]["/v1/things/{thing_id}"]["get"]["parameters"];
    assert_eq!(find[3]["description"], "After that many changes. Not together with `time`.");
}

#[test]
fn a_policy_becomes_one_alternative_for_each_caller() {
    let document = shop();
    let security = &document["paths"]["/v1/things/{thing_id}"]["get"]["security"];
    let expected = [
        json!({"bearer": ["CUSTOMER"]}),
        json!({"bearer": ["OPS", "things.read"]}),
        json!({"mutualTLS": ["CUSTOMER"]}),
        json!({"mutualTLS": ["OPS"]}),
    ];
    assert_eq!(security, &json!(expected));
    let without = &document["paths"]["/v1/things/{thing_id}"]["patch"];
    assert!(without.get("security").is_none());
    assert_eq!(document["security"], json!([{"bearer": []}, {"mutualTLS": []}]));
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    let kinds: Vec<_> = schemes.values().map(|scheme| &scheme["type"]).collect();
    assert_eq!(kinds, ["http", "mutualTLS"]);
}

#[test]
fn refusals_are_listed_under_their_statuses() {
    let document = shop();
    let responses = &document["components"]["responses"];
    let text = |name: &str| responses[name]["description"].as_str().unwrap().to_owned();
    assert!(text("NotFound").ends_with("\n\n- `NOT_FOUND`: It is not there."));
    assert!(text("Conflict").contains("- `VERSION_MISMATCH`: It changed."));
    assert!(text("PreconditionFailed").contains("VERSION_MISMATCH"));
    let change = &document["paths"]["/v1/things/{thing_id}"]["patch"]["responses"];
    assert_eq!(change["412"]["$ref"], "#/components/responses/PreconditionFailed");
    let find = &document["paths"]["/v1/things/{thing_id}"]["get"]["responses"];
    assert!(find.get("412").is_none() && find.get("404").is_some());
    let problem = schema(&document, "Problem");
    let codes = json!(["NOT_FOUND", "VERSION_MISMATCH"]);
    assert_eq!(problem["properties"]["code"]["examples"], codes);
}

/// Names of operations are those of methods, without their services.
#[test]
fn methods_of_one_name_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let service = |name: &str, path: &str| {
        format!(
            "service {name} {{\n  rpc Ask(Question) returns (Question) {{\n    option \
             (google.api.http) = {{get: \"{path}\"}};\n  }}\n}}\n"
        )
    };
    let text = format!(
        "syntax = \"proto3\";\npackage other.v1;\nimport \"google/api/annotations.proto\";\n\
         message Question {{}}\n{}{}",
        service("One", "/v1/one"),
        service("Two", "/v1/two")
    );
    std::fs::write(folder.path().join("other.proto"), text).unwrap();
    let pool = pool(&["other.proto"], &[folder.path().to_str().unwrap(), "../proto"]);
    let routes = Routes::of(pool, |_| true).unwrap();
    let error = document(&routes, &about(&[])).unwrap_err().to_string();
    assert_eq!(error, "Ask: its name is there twice");
}

#[test]
fn a_reason_with_a_status_that_no_response_describes_is_named() {
    let refusals =
        [web_openapi::Refusal { code: "TEAPOT", statuses: vec![400, 418], meaning: "No." }];
    let about = about(&refusals);
    let error = document(&routes(), &about).unwrap_err().to_string();
    assert_eq!(error, "TEAPOT: no response is described for 418");
}

#[test]
fn an_example_is_shown_with_its_operation() {
    let routes = routes();
    let with = |examples| document(&routes, &About { examples, ..about(&[]) });
    let text = with(r#"{"ChangeThing": {"reason": "why", "n": [1, true]}}"#).unwrap();
    let shown: Value = serde_json::from_str(&text).unwrap();
    let change = &shown["paths"]["/v1/things/{thing_id}"]["patch"]["requestBody"];
    let expected = json!({"reason": "why", "n": [1, true]});
    assert_eq!(change["content"]["application/json"]["example"], expected);
    let error = with(r#"{"Nobody": {}}"#).unwrap_err().to_string();
    assert_eq!(error, "Nobody: there is an example for it, but no such operation");
    assert!(with("{").unwrap_err().to_string().starts_with("JSON: "));
}
