//! An API server alone, on a store in memory, over plain HTTP: `serve PORT TOKEN`. The token is of `system:masters`.
//! It is what the replay of golden exchanges and load generators are pointed at while they look at this room.

use sampan_api::user::{GROUP_MASTERS, UserInfo};
use sampan_apiserver::Anonymous;
use sampan_apiserver::limits::CONNECTIONS_MAX;
use sampan_env::Env;
use sampan_testing::server::{Masters, Parts, Tokens};
use std::sync::Arc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().unwrap_or_default().parse()?;
    let token = arguments.next().unwrap_or_default();
    let admin = UserInfo::new("admin", [GROUP_MASTERS]);
    let server = Parts {
        authenticator: Arc::new(Tokens::new([(token.as_str(), admin)])),
        authorizer: Arc::new(Masters),
        anonymous: Anonymous::All,
        namespaces: ["default", "kube-system", "kube-public", "kube-node-lease"].map(str::to_owned).into(),
        ..Parts::new(Env::system())
    };
    let server = server.start().await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}", listener.local_addr()?);
    sampan_apiserver::serve::serve(listener, None, server.service, CONNECTIONS_MAX, &server.env, &server.tasks).await;
    Ok(())
}
