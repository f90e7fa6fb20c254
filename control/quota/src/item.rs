//! An object as its evaluator reads it.

use sampan_api::k8s::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use sampan_api::k8s::api::resource::v1::ResourceClaim;
use sampan_api::{Object, Record};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// The objects that are read, and those that are only counted.
#[derive(Clone, Debug)]
pub enum Item {
    Pod(Arc<Pod>),
    Service(Arc<Service>),
    VolumeClaim(Arc<PersistentVolumeClaim>),
    DeviceClaim(Arc<ResourceClaim>),
    Counted,
}

/// The kinds of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Pods,
    Services,
    VolumeClaims,
    DeviceClaims,
    Count,
}

impl Read {
    /// Of an object in the version that the evaluator reads.
    pub(crate) fn object(self, object: &Object) -> Result<Item, serde_json::Error> {
        fn typed<T: DeserializeOwned>(object: &Object) -> Result<Arc<T>, serde_json::Error> {
            let value: Value = object.to_value();
            serde_json::from_value(value).map(Arc::new)
        }
        Ok(match self {
            Self::Pods => Item::Pod(typed(object)?),
            Self::Services => Item::Service(typed(object)?),
            Self::VolumeClaims => Item::VolumeClaim(typed(object)?),
            Self::DeviceClaims => Item::DeviceClaim(typed(object)?),
            Self::Count => Item::Counted,
        })
    }

    /// Of a record, whose typed form is shared.
    pub(crate) fn record(self, record: &Record) -> Result<Item, serde_json::Error> {
        Ok(match self {
            Self::Pods => Item::Pod(record.typed()?),
            Self::Services => Item::Service(record.typed()?),
            Self::VolumeClaims => Item::VolumeClaim(record.typed()?),
            Self::DeviceClaims => Item::DeviceClaim(record.typed()?),
            Self::Count => Item::Counted,
        })
    }
}
