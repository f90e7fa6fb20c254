//! Server-side apply: the server merges what a manifest says into the object, knows who says what, and takes away what the
//! manifest no longer says.

use anyhow::Context;
use sampan_api::{GroupVersionKind, Object};
use sampan_client::{Api, Client, Discovery, FieldValidation, Patch, WriteParams};

/// The name under which fields are owned.
pub const MANAGER: &str = "sampan";

/// The outcome of an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    Created,
    Configured,
    Unchanged,
}

impl Applied {
    /// As kubectl says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// What is done about fields that others own and the manifest says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflicts {
    /// The apply fails and names them.
    Fail,
    /// They are taken over.
    TakeOver,
}

/// The API of an object's kind, in its namespace (`default` where a namespaced one names none).
///
/// # Errors
/// The server has no such kind.
pub fn api_of(client: &Client, discovery: &Discovery, object: &Object) -> anyhow::Result<Api<Object>> {
    let gvk: GroupVersionKind =
        object.gvk().with_context(|| format!("apiVersion {:?} is not valid", object.api_version()))?;
    let resource = discovery.by_kind(&gvk).with_context(|| {
        let (kind, version) = (&gvk.kind, object.api_version());
        format!("no matches for kind {kind:?} in version {version:?}; is its CustomResourceDefinition installed?")
    })?;
    let namespace = if object.namespace().is_empty() { "default" } else { object.namespace() };
    Ok(client.dynamic(&resource.resource, resource.namespaced.then_some(namespace)))
}

/// The place of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A namespace has it.
    Namespaced,
    /// It is in no namespace, or its kind is not known.
    Other,
}

/// A namespaced object that names no namespace goes to this one. Says whether it is a namespaced one.
pub fn place(discovery: &Discovery, object: &mut Object, namespace: &str) -> Scope {
    let namespaced = object.gvk().and_then(|gvk| discovery.by_kind(&gvk).map(|one| one.namespaced));
    if namespaced != Some(true) {
        return Scope::Other;
    }
    if object.namespace().is_empty() {
        object.set_meta("namespace", namespace);
    }
    Scope::Namespaced
}

/// Creates the object or changes it to what the manifest says. A field that no such object has is refused.
///
/// # Errors
/// The server refuses it; or, as `conflicts` says, others own some of its fields.
pub async fn apply(
    client: &Client,
    discovery: &Discovery,
    manifest: &Object,
    conflicts: Conflicts,
) -> anyhow::Result<(Applied, Object)> {
    let api = api_of(client, discovery, manifest)?;
    let what = || format!("{} {:?}", manifest.kind(), manifest.name());
    let before = api.get_opt(manifest.name()).await.with_context(what)?;
    let params = WriteParams {
        field_manager: Some(MANAGER.into()),
        field_validation: Some(FieldValidation::Strict),
        force: conflicts == Conflicts::TakeOver,
        ..WriteParams::default()
    };
    let made = api.patch_with(manifest.name(), None, &Patch::Apply(manifest.to_value()), &params).await;
    let made = match made {
        Err(error) if error.is_conflict() && conflicts == Conflicts::Fail => {
            return Err(error).with_context(what).context("take the fields over with --force-conflicts");
        }
        other => other.with_context(what)?,
    };
    let applied = match before {
        None => Applied::Created,
        Some(before) if before.uid() == made.uid() && before.resource_version() == made.resource_version() => {
            Applied::Unchanged
        }
        Some(before) if before.uid() == made.uid() => Applied::Configured,
        Some(_) => Applied::Created,
    };
    Ok((applied, made))
}
