//! Tokens of service accounts: a node has them for its pods only, and for the audiences that those name.

use super::Write;
use super::pods::existing;
use sampan_api::admission::Operation;
use sampan_api::field::go_quote;
use sampan_api::k8s::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use sampan_api::k8s::api::storage::v1::CSIDriver;
use sampan_api::user;
use sampan_api::{Authorizer, Object, Status};
use sampan_auth::node::claim_of;
use sampan_client::{Client, Error};
use serde_json::Value;

pub(super) async fn token(write: &Write<'_>, client: &Client, authorizer: &dyn Authorizer) -> Result<(), Status> {
    if write.operation() != Operation::Create || write.attributes.subresource != "token" {
        return Ok(());
    }
    let request = write.sent()?;
    let of = |field: &str| request.get_str(&["spec", "boundObjectRef", field]).unwrap_or_default();
    if of("apiVersion") != "v1" || of("kind") != "Pod" || of("name").is_empty() {
        return Err(write.forbidden("node requested token not bound to a pod"));
    }
    if of("uid").is_empty() {
        return Err(write.forbidden("node requested token with a pod binding without a uid"));
    }
    let pod = existing(write, client, of("name")).await?;
    if of("uid") != pod.uid() {
        return Err(write.forbidden(&format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
            of("uid")
        )));
    }
    if pod.get_str(&["spec", "nodeName"]) != Some(write.node) {
        return Err(write.forbidden("node requested token bound to a pod scheduled on a different node"));
    }
    audience(write, request, &pod, client, authorizer).await
}

async fn audience(
    write: &Write<'_>,
    request: &Object,
    pod: &Object,
    client: &Client,
    authorizer: &dyn Authorizer,
) -> Result<(), Status> {
    let asked = request.get(&["spec", "audiences"]).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let asked = match asked {
        [] => "",
        [one] => one.as_str().unwrap_or_default(),
        _ => return Err(write.forbidden("node may only request 0 or 1 audiences")),
    };
    match named_by(pod, asked, write.attributes.namespace, client).await {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(error) => {
            return Err(write.forbidden(&format!("error validating audience {}: {error}", go_quote(asked))));
        }
    }
    let may = user::Attributes {
        user: write.attributes.user.clone().into(),
        verb: "request-serviceaccounts-token-audience".into(),
        namespace: write.attributes.namespace.to_owned(),
        version: "v1".into(),
        resource: asked.to_owned(),
        name: write.attributes.name.to_owned(),
        resource_request: true,
        ..user::Attributes::default()
    };
    if authorizer.authorize(&may).await.allowed() {
        return Ok(());
    }
    Err(write.forbidden(&format!(
        "audience {} not found in pod spec volume, {} is not authorized to request tokens for this audience",
        go_quote(asked),
        write.attributes.user.name
    )))
}

/// Whether a volume of the pod names the audience: a projected token, or the requests of its CSI driver.
async fn named_by(pod: &Object, audience: &str, namespace: &str, client: &Client) -> Result<bool, Error> {
    let pod = pod.to_value();
    for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
        let mut sources = volume["projected"]["sources"].as_array().into_iter().flatten();
        let of_token = |source: &Value| {
            let token = source.get("serviceAccountToken").filter(|token| token.is_object());
            token.is_some_and(|token| token["audience"].as_str().unwrap_or_default() == audience)
        };
        if sources.any(of_token) {
            return Ok(true);
        }
        let driver = match claim_of(&pod, volume) {
            Some(claim) => driver_of_claim(client, namespace, &claim).await?,
            None => volume["csi"]["driver"].as_str().map(str::to_owned),
        };
        if let Some(driver) = driver
            && driver_asks_for(client, &driver, audience).await?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn driver_of_claim(client: &Client, namespace: &str, claim: &str) -> Result<Option<String>, Error> {
    let Some(claim) = client.namespaced::<PersistentVolumeClaim>(namespace).get_opt(claim).await? else {
        return Ok(None);
    };
    let Some(volume) = claim.spec.and_then(|spec| spec.volume_name).filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let volume = client.all::<PersistentVolume>().get_opt(&volume).await?;
    Ok(volume.and_then(|volume| volume.spec).and_then(|spec| spec.csi).map(|csi| csi.driver))
}

async fn driver_asks_for(client: &Client, driver: &str, audience: &str) -> Result<bool, Error> {
    let driver = client.all::<CSIDriver>().get_opt(driver).await?;
    let mut asked = driver.into_iter().flat_map(|driver| driver.spec.token_requests.unwrap_or_default());
    Ok(asked.any(|one| one.audience == audience))
}
