use super::*;
use crate::testing::{Fake, config_map, env};
use sampan_api::Status;
use sampan_api::k8s::api::core::v1::ConfigMap;
use std::time::Duration;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

struct World {
    fake: Fake,
    informer: Informer,
    tasks: Tasks,
}

fn world(fake: Fake) -> World {
    let tasks = Tasks::new("test");
    let informers = Informers::new(fake.client(), &env(), &tasks);
    let informer = informers.of::<ConfigMap>().expect("an informer");
    World { fake, informer, tasks }
}

impl World {
    /// What the copy holds, as `name=data`.
    fn state(&self) -> Vec<String> {
        self.informer.lister::<ConfigMap>().list().iter().map(|map| describe(map)).collect()
    }

    async fn settles(&self, expected: &[&str]) {
        for _ in 0..2000 {
            if self.informer.is_synced() && self.state() == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(self.state(), expected);
    }

    async fn end(self) {
        self.tasks.drain(Duration::from_secs(1)).await.expect("the informer's task ends");
    }
}

fn describe(map: &ConfigMap) -> String {
    let data = map.data.as_ref().and_then(|data| data.get("k")).map_or("", String::as_str);
    format!("{}={data}", map.metadata.name.as_deref().unwrap_or_default())
}

fn told(change: &Change) -> String {
    let text = |record: &Record| describe(&record.typed::<ConfigMap>().expect("decodes"));
    match change {
        Change::Applied { old, new } => {
            format!("{}->{}", old.as_deref().map_or(String::new(), text), text(new))
        }
        Change::Deleted { last } => format!("-{}", text(last)),
        Change::Synced => "synced".into(),
        Change::Lost => "lost".into(),
    }
}

/// Every way in: records in process or encoded bodies; watch-list or list and watch.
fn fakes() -> impl Iterator<Item = Fake> {
    [(true, true), (true, false), (false, true), (false, false)].into_iter().map(|(records, watch_list)| {
        let fake = Fake::new(records);
        fake.state().refuse_watch_list = !watch_list;
        fake
    })
}

#[tokio::test(start_paused = true)]
async fn the_copy_follows_and_handlers_are_told_each_change_once() {
    for fake in fakes() {
        fake.put(MAPS, config_map("a", "1"));
        let world = world(fake);
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = log.clone();
        world.informer.add_handler(move |change| sink.lock().push(told(change)));
        world.settles(&["a=1"]).await;
        world.fake.put(MAPS, config_map("b", "1"));
        world.fake.put(MAPS, config_map("a", "2"));
        world.settles(&["a=2", "b=1"]).await;
        world.fake.remove(&format!("{MAPS}/b"));
        world.settles(&["a=2"]).await;
        assert_eq!(*log.lock(), ["->a=1", "synced", "->b=1", "a=1->a=2", "-b=1"]);
        let late = Arc::new(Mutex::new(Vec::new()));
        let sink = late.clone();
        world.informer.add_handler(move |change| sink.lock().push(told(change)));
        assert_eq!(*late.lock(), ["->a=2", "synced"]);
        assert_eq!(world.informer.revision(), world.fake.state().revision);
        world.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_watch_resumes_and_a_revision_that_is_gone_is_read_anew() {
    for fake in fakes() {
        fake.put(MAPS, config_map("a", "1"));
        fake.put(MAPS, config_map("b", "1"));
        let world = world(fake);
        world.settles(&["a=1", "b=1"]).await;
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = log.clone();
        world.informer.add_handler(move |change| sink.lock().push(told(change)));
        log.lock().clear();

        world.fake.drop_watches();
        world.fake.put(MAPS, config_map("c", "1"));
        world.settles(&["a=1", "b=1", "c=1"]).await;

        let expired = Status::expired("too old");
        world.fake.state().fail_watches(&expired);
        world.fake.put(MAPS, config_map("a", "2"));
        world.fake.remove(&format!("{MAPS}/b"));
        let revision = world.fake.state().revision;
        world.fake.state().compacted = revision;
        world.settles(&["a=2", "c=1"]).await;
        assert_eq!(*log.lock(), ["->c=1", "-b=1", "a=1->a=2"]);
        world.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_absent_server_is_tried_again_and_again() {
    let fake = Fake::new(true);
    fake.put(MAPS, config_map("a", "1"));
    fake.state().refusals = vec![(500, None); 5];
    let world = world(fake);
    world.settles(&["a=1"]).await;
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn indexes_follow_their_objects() {
    let world = world(Fake::new(true));
    world.informer.add_index("data", |record| {
        let map = record.typed::<ConfigMap>().expect("decodes");
        map.data.iter().flat_map(|data| data.values().cloned()).collect()
    });
    world.fake.put(MAPS, config_map("a", "x"));
    world.fake.put(MAPS, config_map("b", "x"));
    world.fake.put(MAPS, config_map("b", "y"));
    world.settles(&["a=x", "b=y"]).await;
    let names = |value: &str| -> Vec<String> {
        world.informer.store().by_index("data", value).iter().map(|record| record.key.to_string()).collect()
    };
    assert_eq!((names("x"), names("y"), names("z")), (vec!["default/a".into()], vec!["default/b".into()], vec![]));
    assert_eq!(world.informer.store().list_namespace("default").len(), 2);
    assert!(world.informer.store().list_namespace("defaul").is_empty());
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_falls_behind_is_given_the_state_anew() {
    let world = world(Fake::new(true));
    world.fake.put(MAPS, config_map("a", "1"));
    world.settles(&["a=1"]).await;
    let mut subscription = world.informer.subscribe();
    assert_eq!(told(&subscription.next().await), "->a=1");
    assert_eq!(told(&subscription.next().await), "synced");
    for number in 0..=limits::SUBSCRIPTION_BUFFER {
        world.fake.put(MAPS, config_map("a", &number.to_string()));
    }
    let last = format!("a={}", limits::SUBSCRIPTION_BUFFER);
    world.settles(&[&last]).await;
    assert_eq!(told(&subscription.next().await), "lost");
    assert_eq!(told(&subscription.next().await), format!("->{last}"));
    assert_eq!(told(&subscription.next().await), "synced");
    world.fake.put(MAPS, config_map("a", "end"));
    assert_eq!(told(&subscription.next().await), format!("{last}->a=end"));
    let of_others = world.informer.shared.handlers.lock().len() - 1;
    drop(subscription);
    assert_eq!(world.informer.shared.handlers.lock().len(), of_others, "nothing is told to who is gone");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_the_same_shares_one_informer() {
    let fake = Fake::new(true);
    let tasks = Tasks::new("test");
    let informers = Informers::new(fake.client(), &env(), &tasks);
    let one = informers.of::<ConfigMap>().expect("an informer");
    let two = informers.of::<ConfigMap>().expect("an informer");
    assert!(Arc::ptr_eq(one.store(), two.store()));
    informers.wait_synced().await.expect("synced");
    tasks.drain(Duration::from_secs(1)).await.expect("ends");
    let three = informers.select(InformerSpec::of::<ConfigMap>().namespace("x")).expect("an informer");
    assert!(matches!(three.wait_synced().await, Err(Error::Closed)));
}

#[tokio::test(start_paused = true)]
async fn what_is_served_no_more_is_let_go_and_may_come_back() {
    let fake = Fake::new(true);
    fake.put(MAPS, config_map("a", "1"));
    let tasks = Tasks::new("test");
    let informers = Informers::new(fake.client(), &env(), &tasks);
    let first = informers.of::<ConfigMap>().expect("an informer");
    first.wait_synced().await.expect("synced");
    let log = Arc::new(Mutex::new(Vec::new()));
    let sink = log.clone();
    first.add_handler(move |change| sink.lock().push(told(change)));
    informers.retire(|_| true);
    assert!(!first.is_closed(), "the server has it");

    fake.state().refusals = vec![(404, None); 1000];
    fake.drop_watches();
    let retired = async {
        while !first.is_closed() {
            informers.retire(|resource| resource.resource == "configmaps");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), retired).await.expect("it is let go");
    assert_eq!(*log.lock(), ["->a=1", "synced", "-a=1"]);
    while !tasks.is_empty() {
        tokio::task::yield_now().await;
    }

    fake.state().refusals.clear();
    let second = informers.of::<ConfigMap>().expect("an informer");
    second.wait_synced().await.expect("synced");
    assert_eq!((first.store().list().len(), second.store().list().len()), (0, 1));
    tasks.drain(Duration::from_secs(1)).await.expect("ends");
}
