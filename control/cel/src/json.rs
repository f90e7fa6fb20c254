//! Values as JSON.

use crate::value::{Key, List, Map, Value};
use base64::Engine as _;
use serde_json::{Map as JsonMap, Value as Json};

impl Value<'_> {
    /// The value as JSON.
    ///
    /// # Errors
    /// The type of what has no such form.
    pub fn to_json(&self) -> Result<Json, String> {
        Ok(match self {
            Self::Null => Json::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Uint(value) => (*value).into(),
            Self::Double(value) => whole(*value),
            Self::String(text) => (**text).into(),
            Self::Bytes(bytes) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
            Self::Timestamp(at) => at.to_string().into(),
            Self::List(List::Data(all, ..)) => Json::Array(all.to_vec()),
            Self::List(List::Made(all)) => all.iter().map(Value::to_json).collect::<Result<_, _>>()?,
            Self::Map(Map::Data(all, _)) | Self::Object(all, _) => Json::Object((*all).clone()),
            Self::Map(Map::Made(all)) => {
                let entry = |(key, value): (&Key, &Value<'_>)| match key {
                    Key::String(name) => Ok((name.to_string(), value.to_json()?)),
                    other => Err(format!("map key of type {}, not string", other.value().type_name())),
                };
                Json::Object(all.iter().map(entry).collect::<Result<_, _>>()?)
            }
            Self::Made(made) => {
                let entry = |(name, value): (&str, &Value<'_>)| Ok::<_, String>((name.to_owned(), value.to_json()?));
                Json::Object(made.fields().map(entry).collect::<Result<JsonMap<_, _>, _>>()?)
            }
            Self::Unknown(data) => (*data).clone(),
            Self::Duration(_) | Self::Type(_) | Self::Optional(_) | Self::Library(_) => {
                return Err(format!("unsupported type {}", self.type_name()));
            }
        })
    }
}

/// A number; one without a fraction as an integer, as far as a double tells integers apart.
fn whole(value: f64) -> Json {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT_MAX { (value as i64).into() } else { value.into() }
}
