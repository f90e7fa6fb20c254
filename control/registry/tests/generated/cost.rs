//! What a request may cost: CPU in proportion to its bytes, whatever it is made of.
//!
//! The generator knows the schema and the resource table only. For each list, map and text of each kind it makes an object
//! with a long one there, of equal and of distinct elements, alone and beside its siblings, and has it created, updated
//! (the object and each of its views), patched, shown as a table and deleted, all in a dry run over a registry in this
//! process. `SAMPAN_TIER=nightly` does so in every kind at the limits of bodies and objects; otherwise each type's field is
//! looked at once, at a moderate size.

use crate::generate::{Elements, Long, Place, places};
use crate::requests::{Kind, Spent, World};
use sampan_api::limits::{OBJECT_MAX, REQUEST_BODY_MAX};
use sampan_schema::{Schema, Shape, Type};
use std::collections::HashSet;
use std::time::Duration;

/// CPU that a request may cost a byte of its body and of the stored object.
const NANOS_A_BYTE: u64 = 500;
/// CPU that no request is too long for: clocks and allocators have their own noise.
const NOISE: Duration = Duration::from_millis(1);
/// How much more twice the elements may cost: n log n, and noise.
const GROWTH: f64 = 2.7;
/// Bytes of the object in the fast tier.
const MODERATE: usize = 24 * 1024;
const SHOWN: usize = 20;

fn nightly() -> bool {
    std::env::var("SAMPAN_TIER").is_ok_and(|tier| tier == "nightly")
}

/// How many elements of that sort make about so many bytes.
fn count_of(kind: &Kind, place: &Place, long: fn(usize, Elements) -> Long, elements: Elements, bytes: usize) -> usize {
    const SAMPLE: usize = 64;
    let size = |count| kind.object(place, long(count, elements), 1000).to_string().len();
    let (some, none) = (size(SAMPLE), size(0));
    (bytes.saturating_sub(none) * SAMPLE / (some - none).max(1)).max(1)
}

type Make<'a> = Box<dyn Fn(&Kind, usize) -> Long + 'a>;

/// Everything long that the place of a kind can hold, and how to make it of a size. `first`: it is the first list of its
/// struct, and stands for all of them together.
fn shapes(place: &Place, first: bool) -> Vec<(&'static str, Make<'_>)> {
    let field = place.field();
    let mut shapes: Vec<(&'static str, Make<'_>)> = Vec::new();
    if field.shape != Shape::One {
        for (elements, name, together) in [
            (Elements::Distinct, "distinct", "distinct, with siblings"),
            (Elements::Equal, "equal", "equal, with siblings"),
        ] {
            let alone = move |kind: &Kind, bytes| {
                Long::Elements(count_of(kind, place, Long::Elements, elements, bytes), elements)
            };
            shapes.push((name, Box::new(alone)));
            if first {
                let siblings = move |kind: &Kind, bytes| {
                    Long::Siblings(count_of(kind, place, Long::Siblings, elements, bytes), elements)
                };
                shapes.push((together, Box::new(siblings)));
            }
        }
    }
    if matches!(field.ty, Type::String | Type::Quantity | Type::IntOrString | Type::Duration | Type::Time | Type::Bytes)
    {
        shapes.push(("text", Box::new(|_, bytes| Long::Text(bytes))));
    }
    shapes
}

#[tokio::test]
async fn cpu_follows_bytes() {
    let mut seen: HashSet<(String, String)> = HashSet::new();
    let mut structs: HashSet<(Option<String>, String)> = HashSet::new();
    let mut spent: Vec<Spent> = Vec::new();
    let mut wrong = Vec::new();
    let (mut lists, mut kinds) = (0, 0);
    for kind in Kind::all() {
        let world = World::new().await;
        let places: Vec<Place> =
            places(kind.type_id).into_iter().filter(|place| nightly() || seen.insert(place.identity())).collect();
        kinds += 1;
        for place in &places {
            let first = place.field().shape != Shape::One
                && structs.insert((nightly().then(|| kind.to_string()), place.identity().0));
            for (name, make) in shapes(place, first) {
                lists += 1;
                let sizes = if nightly() { vec![OBJECT_MAX, REQUEST_BODY_MAX] } else { vec![MODERATE, 2 * MODERATE] };
                let measure = async |bytes: usize| world.requests(&kind, place, make(&kind, bytes - 1024)).await;
                let (mut one, mut two) = (measure(sizes[0]).await, measure(sizes[1]).await);
                // Noise only adds: what is too much three times is too much.
                for _ in 0..2 {
                    if faults(&one, &two).is_empty() {
                        break;
                    }
                    for (kept, again) in [(&mut one, measure(sizes[0]).await), (&mut two, measure(sizes[1]).await)] {
                        kept.iter_mut().zip(again).for_each(|(kept, again)| kept.cpu = kept.cpu.min(again.cpu));
                    }
                }
                let mut found = faults(&one, &two);
                // What only grows too fast must go on doing so: caches and allocators have steps of their own.
                if !found.is_empty() && absolute(&two).is_empty() && !nightly() {
                    let four = measure(4 * MODERATE).await;
                    if faults(&two, &four).is_empty() {
                        found.clear();
                    }
                }
                let here = format!("{kind} {place} ({name})");
                wrong.extend(found.into_iter().map(|fault| format!("{here}: {fault}")));
                spent.extend(two.into_iter().map(|one| Spent { what: format!("{here}: {}", one.what), ..one }));
            }
        }
    }
    spent.sort_by(|a, b| b.nanos_a_byte().total_cmp(&a.nanos_a_byte()));
    println!("the costliest of {} requests ({lists} shapes of {kinds} kinds), in nanoseconds a byte:", spent.len());
    for one in spent.iter().take(SHOWN) {
        println!("{:8.1}  {:>9.3} ms  {}", one.nanos_a_byte(), one.cpu.as_secs_f64() * 1e3, one.what);
    }
    assert!(lists > 1_000 && kinds > 50, "the schema is there: {lists} shapes of {kinds} kinds");
    println!("{} faults", wrong.len());
    assert!(wrong.is_empty(), "{} requests cost too much:\n{}", wrong.len(), wrong.join("\n"));
    assert!(Schema::builtin().kinds().len() > kinds);
}

/// What costs too much for its bytes.
fn absolute(spent: &[Spent]) -> Vec<String> {
    let dear = spent.iter().filter(|one| one.cpu > Duration::from_nanos(NANOS_A_BYTE * one.bytes as u64) + NOISE);
    dear.map(|one| format!("{}: {:?} for {} bytes", one.what, one.cpu, one.bytes)).collect()
}

/// The same, and what costs more than twice as much where it is twice as long.
fn faults(one: &[Spent], two: &[Spent]) -> Vec<String> {
    let mut faults = absolute(two);
    for (one, two) in one.iter().zip(two) {
        let grown = one.cpu.mul_f64(GROWTH * two.bytes as f64 / (2.0 * one.bytes as f64)) + NOISE;
        if two.cpu > grown {
            faults
                .push(format!("{}: {:?} for {} bytes, {:?} for {}", two.what, one.cpu, one.bytes, two.cpu, two.bytes));
        }
    }
    faults
}
