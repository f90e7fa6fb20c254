//! The calls of [`Client`] and [`Api`] over both transports.

use crate::testing::{Fake, config_map, env};
use crate::{
    Api, CertificateAuthority, Client, Credentials, DeleteParams, Deleted, Error, InformerSpec, Informers, ListParams,
    Patch, RemoteConfig, limits,
};
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sampan_api::k8s::api::core::v1::ConfigMap;
use sampan_api::{GroupVersionResource, Object};
use sampan_env::Tasks;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str, data: &str) -> ConfigMap {
    serde_json::from_value(config_map(name, data)).expect("a ConfigMap")
}

/// A TLS server in front of the fake; HTTP/2 or HTTP/1.1, as the client asks.
async fn serve(fake: &Fake, tasks: &Tasks) -> RemoteConfig {
    let pair = sampan_testing::tls::pair();
    let mut config = pair.server;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (fake, connections) = (fake.clone(), tasks.clone());
    tasks.spawn_until_cancelled(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, fake) = (acceptor.clone(), fake.clone());
            connections.spawn_until_cancelled(async move {
                let Ok(stream) = acceptor.accept(tcp).await else { return };
                let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                    let request = request.map(|body| body.map_err(crate::BoxError::from).boxed_unsync());
                    let fake = fake.clone();
                    async move { Ok::<_, std::convert::Infallible>(fake.answer(request).await) }
                });
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                // The client may hang up at any time.
                server.serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    });
    let token = Credentials::Token("secret".into());
    RemoteConfig::new(format!("https://localhost:{port}"), pair.certificate_pem.into_bytes(), token)
}

async fn life_of_an_object(client: Client) {
    let api: Api<ConfigMap> = client.namespaced("default");
    assert!(api.get_opt("a").await.expect("answers").is_none());
    let made = api.create(&map("a", "1")).await.expect("created");
    assert!(made.metadata.resource_version.is_some());
    let patched = api.patch("a", &Patch::Merge(json!({"data": {"k": "2"}}))).await.expect("patched");
    assert_eq!(patched.data.expect("data")["k"], "2");
    let updated = api.update("a", &map("a", "3")).await.expect("updated");
    assert_eq!(updated.data.expect("data")["k"], "3");
    api.create(&map("b", "1")).await.expect("created");
    let page = api.list(&ListParams { limit: Some(1), ..ListParams::default() }).await.expect("listed");
    assert_eq!((page.items.len(), page.continue_token.is_some()), (1, true));
    let all = api.list_all(&ListParams { limit: Some(1), ..ListParams::default() }).await.expect("listed");
    assert_eq!(all.items.len(), 2);
    let records = api.list_all_records(&ListParams::default()).await.expect("listed");
    assert_eq!(records.items[0].typed::<ConfigMap>().expect("decodes").metadata.name.as_deref(), Some("a"));
    assert_eq!(&*api.get_record("b").await.expect("there").kind, "ConfigMap");

    let dynamic = client.dynamic(&GroupVersionResource::new("", "v1", "configmaps"), Some("default"));
    let objects: Vec<Object> = dynamic.list(&ListParams::default()).await.expect("listed").items;
    assert_eq!((objects[0].kind(), objects[0].api_version(), objects[0].name()), ("ConfigMap", "v1", "a"));

    assert!(matches!(api.delete("a", &DeleteParams::default()).await.expect("deleted"), Deleted::Gone(_)));
    let error = api.delete("a", &DeleteParams::uid("x")).await.expect_err("gone");
    assert!(error.is_not_found() && error.to_string().contains("not found"), "{error}");
    assert!(matches!(api.get("").await, Err(Error::Config(_))));
}

#[tokio::test]
async fn calls_in_process() {
    life_of_an_object(Fake::new(true).client()).await;
    life_of_an_object(Fake::new(false).client()).await;
}

#[tokio::test]
async fn calls_and_informers_over_tls() {
    let (fake, tasks) = (Fake::new(false), Tasks::new("test"));
    let config = serve(&fake, &tasks).await;
    let client = Client::remote(config.clone(), "tests", &env(), &tasks).expect("a client");
    life_of_an_object(client.clone()).await;

    let informers = Informers::new(client, &env(), &tasks);
    let informer = informers.select(InformerSpec::of::<ConfigMap>()).expect("an informer");
    informer.wait_synced().await.expect("synced");
    let mut changes = informer.subscribe();
    while !matches!(changes.next().await, crate::Change::Synced) {}
    fake.put(MAPS, config_map("c", "1"));
    assert!(matches!(changes.next().await, crate::Change::Applied { new, .. } if &*new.key.name == "c"));

    let stranger = RemoteConfig { ca: Some(CertificateAuthority::Pem(other_ca())), ..config.clone() };
    let client = Client::remote(stranger, "tests", &env(), &tasks).expect("a client");
    let error = client.all::<ConfigMap>().list(&ListParams::default()).await.expect_err("not our CA");
    assert!(matches!(&error, Error::Connect { .. }) && error.to_string().contains("certificate"), "{error}");
    let insecure = RemoteConfig { ca: Some(CertificateAuthority::Insecure), ..config };
    let client = Client::remote(insecure, "tests", &env(), &tasks).expect("a client");
    client.all::<ConfigMap>().list(&ListParams::default()).await.expect("anyone's certificate will do");
    tasks.drain(Duration::from_secs(5)).await.expect("every connection ends");
}

fn other_ca() -> Vec<u8> {
    sampan_testing::tls::pair().certificate_pem.into_bytes()
}

#[tokio::test]
async fn what_cannot_be_reached_or_used_says_so() {
    let tasks = Tasks::new("test");
    let remote = |server: &str, ca: Option<CertificateAuthority>| {
        let config = RemoteConfig { server: server.into(), ca, credentials: Credentials::None, tls_server_name: None };
        Client::remote(config, "tests", &env(), &tasks)
    };
    for server in ["", "localhost", "ftp://localhost", "https://[::1", "https://localhost"] {
        assert!(matches!(remote(server, None), Err(Error::Config(_))), "{server:?}");
    }
    let bad = remote("https://localhost", Some(CertificateAuthority::Pem(b"no".to_vec())));
    assert_eq!(bad.expect_err("no PEM").to_string(), "certificate authority: no PEM certificate in it");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let error = remote(&address, None).expect("a client").version().await.expect_err("nobody is there");
    assert!(matches!(error, Error::Connect { .. }) && error.is_retriable(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn only_answers_that_ask_to_wait_are_tried_again() {
    let check = async |refusals: Vec<(u16, Option<u32>)>, code: u16, requests: usize| {
        let fake = Fake::new(true);
        fake.put(MAPS, config_map("a", "1"));
        fake.state().refusals = refusals;
        let api: Api<ConfigMap> = fake.client().namespaced("default");
        let got = api.get("a").await.map_or_else(|error| error.code(), |_| 200);
        assert_eq!((got, fake.state().requests.len()), (code, requests));
    };
    check(vec![(429, Some(1)), (503, Some(2))], 200, 3).await;
    check(vec![(429, None)], 429, 1).await;
    check(vec![(500, Some(1))], 500, 1).await;
    check(vec![(429, Some(1)); 50], 429, limits::ATTEMPTS_MAX as usize).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up() {
    let service = crate::ApiService::new(tower::service_fn(|_: Request<crate::Body>| {
        std::future::pending::<Result<http::Response<crate::Body>, std::convert::Infallible>>()
    }));
    let client = Client::in_process(service, sampan_api::UserInfo::anonymous(), "tests", &env())
        .with_request_timeout(Duration::from_secs(3));
    let error = client.send(Request::get("/version").body(Bytes::new()).expect("a request")).await.expect_err("silent");
    assert_eq!(error.to_string(), "no answer within 3 s");
}
