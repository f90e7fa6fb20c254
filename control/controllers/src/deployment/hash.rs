//! The hash of a pod template that a ReplicaSet's name and labels carry.
//!
//! Kubernetes hashes Go's printing of the struct, which nobody else can compute; what matters to clients is that it is
//! stable, short and a label. Ours is FNV-1a (32 bits) over the template's JSON with sorted keys and, after collisions,
//! their number in decimal; written in decimal with each digit taken from the alphabet of generated names.

use sampan_api::k8s::api::core::v1::PodTemplateSpec;

const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

pub fn of(template: &PodTemplateSpec, collisions: i32) -> String {
    // A value tree's keys are sorted; a template that cannot be encoded does not exist.
    let json = serde_json::to_value(template).unwrap_or_default().to_string();
    let mut hash = fnv(0x811c_9dc5, json.as_bytes());
    if collisions > 0 {
        hash = fnv(hash, collisions.to_string().as_bytes());
    }
    hash.to_string().bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()])).collect()
}

fn fnv(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
