//! Serves one component: `serve FILE ADDRESS`. For measuring the runtime by itself.

use sampan_env::Env;
use sampan_wasm_runtime::*;
use std::sync::Arc;

struct Stdout;

impl LogSink for Stdout {
    fn write(&self, bytes: &[u8]) -> bool {
        use std::io::Write;
        std::io::stdout().write_all(bytes).is_ok()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    compile_child_main();
    let mut args = std::env::args().skip(1);
    let (Some(file), Some(address)) = (args.next(), args.next()) else {
        return Err("usage: serve FILE ADDRESS".into());
    };
    let address: std::net::SocketAddr = address.parse()?;
    let std::net::IpAddr::V4(ip) = address.ip() else { return Err("an IPv4 address is wanted".into()) };
    let bytes = bytes::Bytes::from(std::fs::read(file)?);
    let env = Env::system();
    let begun = env.instant();
    let cache = std::env::temp_dir().join("sampan-serve-cache");
    let runtime = Runtime::new(RuntimeConfig::new(cache), env.clone())?;
    eprintln!("runtime made after {:?}", env.instant() - begun);
    let handles = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    handles.block_on(async {
        let artifact = runtime.load(Role::Service, &digest_of(&bytes), || async { Ok(bytes.clone()) }).await?;
        eprintln!("artefact loaded after {:?}", env.instant() - begun);
        let container = runtime.container(ContainerLimits {
            memory_bytes: Some(256 << 20),
            cpu_millis: Some(8000),
            cpu_request_millis: 100,
        });
        let log: Arc<dyn LogSink> = Arc::new(Stdout);
        let service = runtime.start_service(&artifact, &container, ServiceSpec::new(address, ip, log.clone(), log))?;
        eprintln!("listening on {} after {:?}", service.local_addr(), env.instant() - begun);
        let exit = service.wait().await;
        eprintln!("ended: {exit:?}, {:?}", container.usage());
        Ok(())
    })
}
