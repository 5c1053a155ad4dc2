//! The OpenAPI 3.1 document, generated from the handlers. What is the same for every call is said
//! here, once: who may call, how failures look, which spellings of a parameter are taken.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::Number;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{HttpMethod, Operation, ParameterIn};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::{AnyOfBuilder, ArrayItems, Object, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Content, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, Required, ResponseBuilder, Schema,
    SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use crate::envelope::{FailureData, FailureEnvelope, LineData};
use crate::state::ApiState;
use crate::{admin, customer};

/// The calls of the source document; every other call is an extension of it.
const DOCUMENTED: [&str; 23] = [
    "/api/users/me/info",
    "/api/users/wallet/info",
    "/api/users/subuser/create",
    "/api/users/subuser/list",
    "/api/users/subuser/update",
    "/api/users/subuser/{subuser_id}",
    "/api/users/proxy/whitelist",
    "/api/users/proxy/add-whitelist",
    "/api/users/proxy/delete-whitelist",
    "/api/users/traffic/packages",
    "/api/users/traffic/packages/purchase",
    "/api/users/traffic/packages/current",
    "/api/users/traffic/trend",
    "/api/users/traffic/{subuser_id}/trend",
    "/api/users/static/res/country",
    "/api/users/static/dc/country",
    "/api/users/static/price/package",
    "/api/users/static/order/create",
    "/api/users/static/order/rebuy",
    "/api/users/static/res/list",
    "/api/users/static/dc/list",
    "/api/users/static/auto-rebuy",
    "/api/users/static/remark",
];

/// The groups of calls, in the order in which they are shown: the source document's, then what goes
/// beyond it.
const GROUPS: [(&str, &str); 7] = [
    ("基础信息", "The account, its API key and its wallet"),
    ("子账号管理", "Proxy logins with limits of their own"),
    ("白名单管理", "Addresses that enter without a password; where to connect, and why it was refused"),
    ("流量管理", "Packages of traffic, and what was used"),
    ("静态代理", "Addresses leased by the month"),
    ("通知", "Being told of what happens: events, webhooks, e-mail"),
    ("operator", "The operator's calls, with the operator's token"),
];

/// What any call may answer besides what it says itself.
const FAILURES: [(&str, &str); 9] = [
    ("400", "40000: a parameter is missing, malformed or out of range; `data.field` and the message name it"),
    ("401", "40100: no API key, or not a valid one"),
    ("403", "40300: the account is suspended, or may not do this"),
    ("405", "40500: method not allowed; `Allow` lists those that are"),
    ("413", "41300: the body is too large"),
    ("415", "41500: not a media type, an encoding or a character set that is taken"),
    ("429", "42900: too many requests; `Retry-After` says when to come back"),
    ("500", "50000: internal error; `data.request_id` names it"),
    ("503", "50300: temporarily unavailable"),
];

const ABOUT: &str = "\
Every answer is `{\"code\", \"data\", \"message\"}`; `code` 0 is success. Money is whole US cents, prices of \
traffic are cents per GB, 1 GB = 2^30 bytes, traffic used is bytes, times are `YYYY-MM-DD HH:MM:SS` in the \
platform's time zone. `message` follows `Accept-Language` (zh, en).

A call takes its parameters from the query string and from a body, JSON or a form; where both have one, the query \
string wins in a GET call, the body in a POST call. Numbers may be decimal strings, words are taken in any case, `null` is \
absent, an empty value of what may be left out counts as absent, unknown fields are ignored, a field given twice in one \
place is refused. Times may carry an offset from UTC (`+08:00`), which is converted.

The API key goes into `Authorization: Bearer KEY`, `X-API-Key` or `api-key`; `Authorization: KEY`, \
`Authorization: Token KEY`, `apikey` and `token` are taken as well. Two keys that differ are refused.

HEAD is answered as GET, but by calls that change something; OPTIONS by the methods that there are. Answers over 1 KiB without \
secrets are compressed where `Accept-Encoding` names gzip or zstd. Calls marked `x-tollgate-extension` go beyond the source document.";

/// The document.
pub fn openapi() -> OpenApi {
    let mut document = calls().into_openapi();
    let schemas = &mut document.components.get_or_insert_default().schemas;
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            complete(path, &method, operation);
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                widen_body(body, schemas);
            }
        }
    }
    schemas.insert(FailureEnvelope::name().into_owned(), FailureEnvelope::schema());
    schemas.insert(FailureData::name().into_owned(), FailureData::schema());
    schemas.insert(LineData::name().into_owned(), LineData::schema());
    document
}

/// Every call with its handler.
pub(crate) fn calls() -> OpenApiRouter<ApiState> {
    let info = InfoBuilder::new().title("Tollgate").version("1").description(Some(ABOUT)).build();
    let group = |(name, about)| TagBuilder::new().name(name).description(Some(about)).build();
    let mut document = OpenApiBuilder::new().info(info).tags(Some(GROUPS.map(group))).build();
    let components = document.components.get_or_insert_default();
    let bearer =
        |about: &str| HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(about)).build();
    let header = |name: &str| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(name)));
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer("An account's API key.")));
    components.add_security_scheme("x_api_key", header("X-API-Key"));
    components.add_security_scheme("api_key", header("api-key"));
    components.add_security_scheme("apikey", header("apikey"));
    components.add_security_scheme("token", header("token"));
    components.add_security_scheme("operator", SecurityScheme::Http(bearer("The operator's token.")));
    OpenApiRouter::with_openapi(document).merge(customer::calls()).merge(admin::calls())
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    let slots = [(HttpMethod::Get, item.get.as_mut()), (HttpMethod::Post, item.post.as_mut())];
    slots.into_iter().filter_map(|(method, operation)| Some((method, operation?)))
}

/// Says of one call what is the same for all.
fn complete(path: &str, method: &HttpMethod, operation: &mut Operation) {
    operation.operation_id = Some(operation_id(path, method));
    let schemes: &[&str] = match path.starts_with("/api/admin/") {
        true => &["operator"],
        false => &["bearer", "x_api_key", "api_key", "apikey", "token"],
    };
    operation.security =
        Some(schemes.iter().map(|scheme| SecurityRequirement::new(*scheme, [] as [&str; 0])).collect());
    if !DOCUMENTED.contains(&path) {
        operation.extensions = Some(ExtensionsBuilder::new().add("x-tollgate-extension", true).build());
    }
    for (status, about) in FAILURES {
        let known = operation.responses.responses.entry(status.to_owned());
        known.or_insert_with(|| ResponseBuilder::new().description(about).into());
    }
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if status == "200" {
            response.description = "0: success".into();
            continue;
        }
        let failure = Content::new(Some(Ref::from_schema_name(FailureEnvelope::name())));
        response.content.insert("application/json".into(), failure.into());
    }
    for parameter in operation.parameters.iter_mut().flatten() {
        // Query strings and headers have no null: a parameter is given or it is not.
        if let RefOr::T(parameter) = parameter
            && let Some(schema) = &mut parameter.schema
        {
            without_null(schema);
            bound(schema);
            if parameter.parameter_in == ParameterIn::Query && parameter.required != Required::True {
                or_empty(schema);
            }
        }
    }
}

/// `POST /api/users/subuser/create` → `post_users_subuser_create`.
fn operation_id(path: &str, method: &HttpMethod) -> String {
    let method = if *method == HttpMethod::Get { "get" } else { "post" };
    let words = path.trim_start_matches("/api/").split(|c: char| !c.is_ascii_alphanumeric());
    std::iter::once(method).chain(words.filter(|word| !word.is_empty())).collect::<Vec<_>>().join("_")
}

type Schemas = BTreeMap<String, RefOr<Schema>>;

/// Says of a JSON body that numbers may be texts, and that a form is taken as well. A form has no
/// null and no lists, so it has a schema of its own.
fn widen_body(body: &mut RequestBody, schemas: &mut Schemas) {
    let Some(RefOr::T(Content { schema: Some(RefOr::Ref(schema)), .. })) =
        body.content.get("application/json")
    else {
        return;
    };
    let name = schema.ref_location.rsplit('/').next().unwrap_or_default().to_owned();
    let form = format!("{name}Form");
    let Some(RefOr::T(Schema::Object(as_json))) = schemas.get_mut(&name) else { return };
    let is_table = body.content.contains_key("text/csv");
    // A body in which nothing must be said may be left out.
    body.required = Some(if as_json.required.is_empty() { Required::False } else { Required::True });
    for field in as_json.properties.values_mut() {
        widen(field);
    }
    if is_table {
        return;
    }
    let mut as_form = as_json.clone();
    for field in as_form.properties.values_mut() {
        without_null(field);
        without_list(field);
    }
    let content = Content::new(Some(Ref::from_schema_name(&form)));
    body.content.insert("application/x-www-form-urlencoded".into(), content.into());
    schemas.insert(form, RefOr::T(Schema::Object(as_form)));
}

fn without_null(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            drop_null(&mut object.schema_type);
            object.enum_values.iter_mut().for_each(|words| words.retain(|word| !word.is_null()));
        }
        RefOr::T(Schema::Array(array)) => drop_null(&mut array.schema_type),
        RefOr::T(Schema::OneOf(one_of)) => {
            one_of.items.retain(|item| !matches!(item, RefOr::T(Schema::Object(object)) if is_null(object)));
            if let [only] = one_of.items.as_slice() {
                *schema = only.clone();
            }
        }
        RefOr::T(Schema::AnyOf(any_of)) => any_of.items.iter_mut().for_each(without_null),
        _ => {}
    }
}

fn is_null(object: &Object) -> bool {
    object.schema_type == SchemaType::Type(Type::Null)
}

/// In a form a list of numbers is a text with commas.
fn without_list(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::Array(list)) = schema {
        let text = ObjectBuilder::new().schema_type(Type::String).description(list.description.take());
        let text = text.pattern(Some("^([0-9]{1,18}(,[0-9]{1,18})*)?$"));
        *schema = RefOr::T(text.build().into());
    }
}

/// An empty value of what may be left out counts as absent.
fn or_empty(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = schema else { return };
    if let Some(words) = &mut object.enum_values {
        words.push(json!(""));
    } else if has(&object.schema_type, &Type::Integer) {
        let empty = ObjectBuilder::new().schema_type(Type::String).max_length(Some(0));
        let either = AnyOfBuilder::new().item(object.clone()).item(empty);
        *schema = RefOr::T(Schema::AnyOf(either.build()));
    }
}

fn drop_null(schema_type: &mut SchemaType) {
    if let SchemaType::Array(types) = schema_type {
        types.retain(|one| *one != Type::Null);
        if let [only] = types.as_slice() {
            *schema_type = SchemaType::Type(only.clone());
        }
    }
}

/// Whole numbers have 64 bits.
fn bound(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::Object(object)) = schema
        && has(&object.schema_type, &Type::Integer)
    {
        object.maximum.get_or_insert(Number::Int(isize::MAX));
    }
}

/// Whole numbers and truth values of a body may be texts.
fn widen(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) if has(&object.schema_type, &Type::Integer) => {
            add_text(&mut object.schema_type);
            object.pattern = Some(digits_of(object));
            object.maximum.get_or_insert(Number::Int(isize::MAX));
        }
        RefOr::T(Schema::Object(object)) if has(&object.schema_type, &Type::Boolean) => {
            let nullable = has(&object.schema_type, &Type::Null);
            add_text(&mut object.schema_type);
            let words = [json!(true), json!(false), json!("true"), json!("false"), json!("1"), json!("0")];
            object.enum_values = Some(words.into_iter().chain(nullable.then_some(json!(null))).collect());
        }
        RefOr::T(Schema::Array(list)) => {
            if let ArrayItems::RefOrSchema(items) = &mut list.items {
                widen(items);
            }
        }
        _ => {}
    }
}

/// A pattern for a whole number as a text. Says no more than the shape: one digit fewer than the
/// largest number has, so that whatever fits is in range.
fn digits_of(object: &Object) -> String {
    let digits = match &object.maximum {
        Some(Number::Int(most)) => most.to_string().len().saturating_sub(1).clamp(1, 18),
        _ => 18,
    };
    match &object.minimum {
        Some(Number::Int(1)) => format!("^[1-9][0-9]{{0,{}}}$", digits - 1),
        Some(Number::Int(least)) if *least < 0 => format!("^-?[1-9][0-9]{{0,{}}}$", digits - 1),
        _ => format!("^[0-9]{{1,{digits}}}$"),
    }
}

fn has(schema_type: &SchemaType, wanted: &Type) -> bool {
    match schema_type {
        SchemaType::Type(one) => one == wanted,
        SchemaType::Array(types) => types.contains(wanted),
        SchemaType::AnyValue => false,
    }
}

fn add_text(schema_type: &mut SchemaType) {
    let mut types = match std::mem::take(schema_type) {
        SchemaType::Type(one) => vec![one],
        SchemaType::Array(types) => types,
        SchemaType::AnyValue => return,
    };
    // A schema that two calls share is widened for each.
    if !types.contains(&Type::String) {
        types.push(Type::String);
    }
    *schema_type = SchemaType::Array(types);
}
