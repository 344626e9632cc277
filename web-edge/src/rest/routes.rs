use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use percent_encoding::percent_decode_str;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MethodDescriptor, Value,
};

use super::place::{Place, place};
use super::rpc::Rpc;
use super::template::{Segment, Template};
use crate::problem::Problem;

/// Why the routes of some protos cannot be used. A mistake in the protos.
#[derive(Debug, thiserror::Error)]
pub enum RoutesError {
    /// A descriptor set cannot be read.
    #[error("the descriptors of the protos cannot be read: {0}")]
    Descriptors(#[from] prost_reflect::DescriptorError),
    /// The descriptors do not have `google.api.http`.
    #[error("the descriptors have no google.api.http: the build dropped the options of methods")]
    NoOptions,
    /// A method without a route.
    #[error(
        "{0} has no route: write `option (google.api.http)` in its braces, as its neighbours do"
    )]
    NoRoute(String),
    /// A template that is none, or of a kind that is not supported.
    #[error("{method}: {text:?} is not a path of literals, {{fields}} and a :verb")]
    Template {
        /// The method.
        method: String,
        /// The template as it is written.
        text: String,
    },
    /// A route whose fields do not fit the request.
    #[error("{method}: {what}")]
    Unfit {
        /// The method.
        method: String,
        /// What does not fit.
        what: String,
    },
    /// Two methods with one route.
    #[error("{0} and {1} have the same route")]
    Collision(String, String),
}

/// A route: a method of HTTP and a path template, for a method of gRPC.
pub struct Route {
    pub(crate) method: Method,
    /// The template as it is written.
    pub(crate) text: String,
    pub(crate) template: Template,
    /// The fields in the path.
    pub(crate) fields: Vec<FieldDescriptor>,
    /// Whether the other fields are in the body; otherwise they are parameters.
    pub(crate) has_body: bool,
    pub(crate) rpc: Arc<Rpc>,
    /// Where what was created can be read: a template, and the fields of the answer for it.
    pub(crate) created_at: Option<(String, Place)>,
}

impl Route {
    /// The method of HTTP.
    #[must_use]
    pub const fn http_method(&self) -> &Method {
        &self.method
    }

    /// The path template, such as `/v1/orders/{order_id}`.
    #[must_use]
    pub fn template(&self) -> &str {
        &self.text
    }

    /// The path of the method of gRPC, such as `/ordinal.orders.v1.OrderService/GetOrder`.
    #[must_use]
    pub fn rpc(&self) -> &str {
        self.rpc.path.as_str()
    }

    /// The method of gRPC.
    #[must_use]
    pub fn descriptor(&self) -> &MethodDescriptor {
        &self.rpc.descriptor
    }

    /// The fields of the request that are in the path, in its order.
    #[must_use]
    pub fn path_fields(&self) -> &[FieldDescriptor] {
        &self.fields
    }

    /// Whether the other fields are in the body; otherwise they are parameters.
    #[must_use]
    pub const fn has_body(&self) -> bool {
        self.has_body
    }

    /// Whether a request has an id by which repeats are recognised, as `Idempotency-Key` is.
    #[must_use]
    pub fn takes_key(&self) -> bool {
        self.rpc.key.is_some()
    }

    /// Whether a request says that nothing shall be changed, as `?validate_only=true` does.
    #[must_use]
    pub fn takes_dry_run(&self) -> bool {
        self.rpc.validate_only.is_some()
    }

    /// Whether a request says which version it requires, as `If-Match` does.
    #[must_use]
    pub fn requires_version(&self) -> bool {
        self.rpc.etag.is_some()
    }

    /// Whether an answer of one message has a version, its `ETag`; and whether it is the same where
    /// its version is.
    #[must_use]
    pub fn answers_version(&self) -> Option<bool> {
        let version = self.rpc.answered_etag.as_ref().filter(|_| !self.rpc.gives_stream)?;
        Some(version.whole)
    }

    /// Whether it creates something: a `POST` to a list, without a verb.
    #[must_use]
    pub fn creates(&self) -> bool {
        self.method == Method::POST && self.template.verb.is_empty()
    }

    /// The path template under which what it creates can be read.
    #[must_use]
    pub fn created_at(&self) -> Option<&str> {
        self.created_at.as_ref().map(|(template, _)| template.as_str())
    }
}

/// A path that is known, with the values of its fields.
pub(crate) struct Matched {
    pub(crate) route: Arc<Route>,
    /// In the order of the route's fields.
    pub(crate) values: Vec<String>,
    /// Whether only the head of the answer is asked for.
    pub(crate) head_only: bool,
}

impl Matched {
    /// Whether one message is sent and one is answered.
    pub(crate) fn is_unary(&self) -> bool {
        !self.route.rpc.takes_stream && !self.route.rpc.gives_stream
    }
}

/// All routes of some services.
#[derive(Default)]
pub struct Routes {
    pool: DescriptorPool,
    root: Node,
    all: Vec<Arc<Route>>,
    /// Each method by its own path, for Connect.
    by_rpc: BTreeMap<String, Arc<Route>>,
}

#[derive(Default)]
struct Node {
    literals: BTreeMap<String, Node>,
    field: Option<Box<Node>>,
    /// Routes that end here, by verb and method.
    ends: BTreeMap<String, BTreeMap<String, Arc<Route>>>,
}

impl Routes {
    /// The routes of all methods in these encoded descriptor sets whose services are named so.
    ///
    /// # Errors
    /// If a method has no route, two have the same, or one does not fit its request.
    pub fn new<'a>(
        descriptors: impl IntoIterator<Item = &'a [u8]>,
        is_served: impl Fn(&str) -> bool,
    ) -> Result<Self, RoutesError> {
        let mut pool = DescriptorPool::new();
        for set in descriptors {
            pool.decode_file_descriptor_set(set)?;
        }
        Self::of(pool, is_served)
    }

    /// The routes of all methods in these descriptors whose services are named so.
    ///
    /// # Errors
    /// As [`Routes::new`].
    pub fn of(pool: DescriptorPool, is_served: impl Fn(&str) -> bool) -> Result<Self, RoutesError> {
        let http = pool.get_extension_by_name("google.api.http").ok_or(RoutesError::NoOptions)?;
        let mut all = Vec::new();
        let mut by_rpc = BTreeMap::new();
        for service in pool.services().filter(|service| is_served(service.full_name())) {
            for method in service.methods() {
                let options = method.options();
                let rule = options.has_extension(&http).then(|| options.get_extension(&http));
                let rule = rule.as_ref().and_then(|rule| rule.as_message());
                let rule =
                    rule.ok_or_else(|| RoutesError::NoRoute(method.full_name().to_owned()))?;
                let rpc = Arc::new(Rpc::new(&method)?);
                by_rpc.insert(rpc.path.as_str().to_owned(), Arc::new(itself(&rpc)));
                let more = rule.get_field_by_name("additional_bindings");
                let more = more.iter().filter_map(|more| more.as_list()).flatten();
                for rule in std::iter::once(rule).chain(more.filter_map(Value::as_message)) {
                    all.push(route(rule, &method, &rpc)?);
                }
            }
        }
        link_what_is_created(&mut all);
        let mut routes = Self { pool, by_rpc, ..Self::default() };
        for route in all {
            routes.add(route)?;
        }
        Ok(routes)
    }

    /// The descriptors from which they were read.
    #[must_use]
    pub const fn descriptors(&self) -> &DescriptorPool {
        &self.pool
    }

    /// All routes, in the order of the protos.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.all.iter().map(Arc::as_ref)
    }

    /// A method by its path in gRPC.
    pub(crate) fn by_rpc(&self, path: &str) -> Option<Matched> {
        let route = Arc::clone(self.by_rpc.get(path)?);
        Some(Matched { route, values: Vec::new(), head_only: false })
    }

    fn add(&mut self, route: Route) -> Result<(), RoutesError> {
        let route = Arc::new(route);
        let mut node = &mut self.root;
        for segment in &route.template.segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Field(_) => node.field.get_or_insert_default(),
            };
        }
        let methods = node.ends.entry(route.template.verb.clone()).or_default();
        let method = route.method.as_str().to_owned();
        if let Some(other) = methods.insert(method, Arc::clone(&route)) {
            return Err(RoutesError::Collision(other.rpc().to_owned(), route.rpc().to_owned()));
        }
        self.all.push(route);
        Ok(())
    }

    /// The route of a request.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Result<Matched, Problem> {
        let unknown = || Problem::no_route(path);
        let inside = path.strip_prefix('/').ok_or_else(unknown)?;
        let last = inside.rfind('/').map_or(0, |at| at + 1);
        let verb_at = inside.get(last..).and_then(|last| last.rfind(':')).map(|at| last + at);
        let (path_only, verb) = match verb_at.and_then(|at| inside.split_at_checked(at)) {
            Some((path, verb)) => (path, verb.get(1..).unwrap_or_default()),
            None => (inside, ""),
        };
        // `/v1/orders:` is another spelling.
        if verb_at.is_some() && verb.is_empty() {
            return Err(unknown());
        }
        let segments: Vec<&str> = path_only.split('/').collect();
        let mut raw = Vec::new();
        let methods = self.root.find(&segments, verb, &mut raw).ok_or_else(unknown)?;
        let head_only = method == Method::HEAD;
        let asked = if head_only { Method::GET } else { method.clone() };
        let route = methods
            .get(asked.as_str())
            .filter(|route| !(head_only && route.rpc.gives_stream))
            .ok_or_else(|| {
                let known: Vec<&str> = methods.keys().map(String::as_str).collect();
                Problem::no_method(&known.join(", "))
            })?;
        let values = raw.into_iter().zip(&route.fields).map(|(raw, field)| {
            let text = percent_decode_str(raw).decode_utf8();
            let text = text.map_err(|_| Problem::field(field.name(), "not UTF-8 when decoded"))?;
            Ok(text.into_owned())
        });
        let values = values.collect::<Result<Vec<String>, Problem>>()?;
        Ok(Matched { route: Arc::clone(route), values, head_only })
    }
}

impl Node {
    fn find<'a>(
        &self,
        segments: &[&'a str],
        verb: &str,
        values: &mut Vec<&'a str>,
    ) -> Option<&BTreeMap<String, Arc<Route>>> {
        let Some((first, rest)) = segments.split_first() else { return self.ends.get(verb) };
        if let Some(found) =
            self.literals.get(*first).and_then(|node| node.find(rest, verb, values))
        {
            return Some(found);
        }
        let node = self.field.as_ref().filter(|_| !first.is_empty())?;
        values.push(first);
        let found = node.find(rest, verb, values);
        if found.is_none() {
            values.pop();
        }
        found
    }
}

/// The path of a method in gRPC as a route.
fn itself(rpc: &Arc<Rpc>) -> Route {
    Route {
        method: Method::POST,
        text: rpc.path.as_str().to_owned(),
        template: Template { segments: Vec::new(), verb: "itself".to_owned() },
        fields: Vec::new(),
        has_body: true,
        rpc: Arc::clone(rpc),
        created_at: None,
    }
}

/// `POST /v1/orders` creates what `GET /v1/orders/{order_id}` reads.
fn link_what_is_created(routes: &mut [Route]) {
    let reads: Vec<(Template, String)> = routes
        .iter()
        .filter(|route| route.method == Method::GET && route.template.verb.is_empty())
        .map(|route| (route.template.clone(), route.text.clone()))
        .collect();
    for route in routes.iter_mut().filter(|route| route.creates()) {
        let read = reads.iter().find_map(|(read, text)| match read.segments.split_last() {
            Some((Segment::Field(field), before)) if before == route.template.segments => {
                Some((field, text))
            }
            _ => None,
        });
        let Some((field, text)) = read else { continue };
        let output = &route.rpc.output;
        let found = output.fields().find_map(|holder| place(output, &[holder.name(), field]));
        route.created_at = found.map(|found| (text.clone(), found));
    }
}

/// The route of one rule.
fn route(
    rule: &DynamicMessage,
    method: &MethodDescriptor,
    rpc: &Arc<Rpc>,
) -> Result<Route, RoutesError> {
    let unfit = |what: String| RoutesError::Unfit { method: method.full_name().to_owned(), what };
    let text_of = |name: &str| {
        let value = rule.get_field_by_name(name)?;
        value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let methods = ["get", "put", "post", "delete", "patch"];
    let found = methods.into_iter().find_map(|name| Some((name, text_of(name)?)));
    let (name, text) = found.ok_or_else(|| RoutesError::NoRoute(method.full_name().to_owned()))?;
    let http_method = Method::from_bytes(name.to_ascii_uppercase().as_bytes())
        .map_err(|_| unfit(format!("{name} is no method of HTTP")))?;
    if text_of("response_body").is_some() {
        return Err(unfit("a part of an answer as its body is not supported".to_owned()));
    }
    let Some(template) = Template::parse(&text) else {
        return Err(RoutesError::Template { method: method.full_name().to_owned(), text });
    };
    let fields = template.fields().map(|name| {
        let field = rpc.input.get_field_by_name(name).filter(|field| {
            !field.is_list() && matches!(field.kind(), Kind::String | Kind::Uint32)
        });
        field
            .ok_or_else(|| unfit(format!("{name} in its path is no text or number of its request")))
    });
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    let has_body = match text_of("body").as_deref() {
        None => false,
        Some("*") => true,
        Some(other) => return Err(unfit(format!("its body is {other:?}, not \"*\" or absent"))),
    };
    if has_body == (http_method == Method::GET) {
        return Err(unfit("a GET has no body, and every other method has one".to_owned()));
    }
    Ok(Route {
        method: http_method,
        text,
        template,
        fields,
        has_body,
        rpc: Arc::clone(rpc),
        created_at: None,
    })
}
