//! The status of a ResourceClaim: what was allocated, for whom it is reserved, and what drivers say of its devices
//! (validateResourceClaimStatusUpdate).

use super::super::validation::affinity::node_selector;
use super::super::validation::checks::{Facts, conditions, facts, immutable, named, one_of, parse_cidr, parse_ip};
use super::super::validation::{At, FieldErrors};
use super::requests::{CONFIGURATIONS_MAX, REQUESTS_MAX, Requests, fits, once};
use sampan_api::field::BadValue;
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::net::IpAddr;

/// Most consumers that a claim is reserved for.
const CONSUMERS_MAX: usize = 256;
/// Most data of a driver on one device, bytes of JSON.
const DATA_MAX: usize = 10 * 1024;
/// Most conditions of a device.
const CONDITIONS_MAX: usize = 8;
/// Most addresses of a network device.
const ADDRESSES_MAX: usize = 16;
/// Most conditions under which a device is bound, or is not.
const BINDING_CONDITIONS_MAX: usize = 4;

static CONSUMER: Facts = Facts::new(|| facts("resource/v1.ResourceClaimConsumerReference", "consumer"));
static RESULT: Facts = Facts::new(|| facts("resource/v1.DeviceRequestAllocationResult", "device"));
static CONFIGURATION: Facts = Facts::new(|| facts("resource/v1.DeviceAllocationConfiguration", "configuration"));
static DEVICE: Facts = Facts::new(|| facts("resource/v1.AllocatedDeviceStatus", "device"));
static NETWORK: Facts = Facts::new(|| facts("resource/v1.NetworkDeviceData", "network"));

/// Which device, and which share of it.
type DeviceId<'a> = [&'a str; 4];

fn device_id(device: &Value) -> DeviceId<'_> {
    ["driver", "pool", "device", "shareID"].map(|name| device.get(name).and_then(Value::as_str).unwrap_or(""))
}

/// A device as Go shows it.
fn shown([driver, pool, device, share]: DeviceId<'_>) -> BadValue {
    let [driver, pool, device, share] = [driver, pool, device, share].map(|text| json!(text));
    BadValue::Raw(format!("{{\"Driver\":{driver},\"Pool\":{pool},\"Device\":{device},\"ShareID\":{share}}}"))
}

fn allocated(claim: &Object) -> HashSet<DeviceId<'_>> {
    let results = claim.get(&["status", "allocation", "devices", "results"]).and_then(Value::as_array);
    results.into_iter().flatten().map(device_id).collect()
}

/// What drivers said of devices goes with their allocation (dropDeallocatedStatusDevices).
pub(super) fn drop_deallocated(claim: &mut Object, old: &Object) {
    const DEVICES: [&str; 2] = ["status", "devices"];
    let gone: HashSet<[String; 4]> =
        allocated(old).difference(&allocated(claim)).map(|id| id.map(str::to_owned)).collect();
    let Some(devices) = claim.get_mut(&DEVICES).and_then(Value::as_array_mut) else { return };
    devices.retain(|device| !gone.contains(&device_id(device).map(str::to_owned)));
    if devices.is_empty() {
        claim.remove(&DEVICES);
    }
}

/// Everything wrong with a status that is written over that of `old`.
pub(super) fn check(claim: &Object, old: &Object, errors: &mut FieldErrors) {
    let (at, old_at) = (At::object(claim), At::object(old));
    let (status, before) = (at.get("status"), old_at.get("status"));
    let (consumers, allocation) = (status.get("reservedFor"), status.get("allocation"));
    if fits(consumers, CONSUMERS_MAX, errors) {
        consumers.items().for_each(|consumer| CONSUMER.check(consumer, errors));
        once(consumers, "uid", errors);
    }
    devices(status.get("devices"), &allocated(claim), errors);
    if !consumers.is_empty() && !allocation.is_set() {
        consumers.forbidden(errors, "may not be specified when `allocated` is not set");
    } else if claim.deletion_timestamp().is_some() {
        let known = before.get("reservedFor");
        let known: HashSet<&Value> = known.value().as_array().into_iter().flatten().collect();
        if consumers.items().any(|consumer| !known.contains(consumer.value())) {
            let text = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
            consumers.forbidden(errors, text);
        }
    }
    let allocation_before = before.get("allocation");
    if allocation.is_set() && allocation_before.is_set() {
        immutable(allocation, allocation_before, errors);
    } else if allocation.is_set() {
        let spec = at.get("spec");
        let asked = spec.get("devices");
        let requests = asked.get("requests");
        new_allocation(allocation, &Requests::of(requests.value()), errors);
    }
}

/// An allocation where there was none.
fn new_allocation(allocation: At<'_>, requests: &Requests<'_>, errors: &mut FieldErrors) {
    let devices = allocation.get("devices");
    let results = devices.get("results");
    if fits(results, REQUESTS_MAX, errors) {
        for result in results.items() {
            requests.check_one(result.get("request"), errors);
            RESULT.check(result, errors);
            binding(result, errors);
            share(result.get("shareID"), errors);
        }
    }
    let configurations = devices.get("config");
    // As many from the class as from the claim.
    if fits(configurations, 2 * CONFIGURATIONS_MAX, errors) {
        for configuration in configurations.items() {
            let source = configuration.get("source");
            if source.is_empty() {
                source.required(errors, "");
            } else {
                one_of(source, errors, &["FromClaim", "FromClass"]);
            }
            requests.check(configuration.get("requests"), errors);
            CONFIGURATION.check(configuration, errors);
        }
    }
    if allocation.get("nodeSelector").is_set() {
        node_selector(allocation.get("nodeSelector"), errors);
    }
}

/// The conditions that make a device ready for its pod, and those that say that it will never be.
fn binding(result: At<'_>, errors: &mut FieldErrors) {
    let (ready, failed) = (result.get("bindingConditions"), result.get("bindingFailureConditions"));
    for list in [ready, failed] {
        if fits(list, BINDING_CONDITIONS_MAX, errors) {
            list.items().for_each(|condition| named(condition, errors, names::qualified_name));
        }
    }
    once(ready, "", errors);
    let known: HashSet<&str> = ready.texts().into_iter().collect();
    let mut seen = HashSet::new();
    for condition in failed.items() {
        if !seen.insert(condition.text().to_owned()) {
            condition.duplicate(errors);
        }
        if known.contains(condition.text()) {
            condition.invalid(errors, "bindingFailureConditions must not overlap with bindingConditions");
        }
    }
    if ready.is_empty() && !failed.is_empty() {
        ready.invalid(errors, "bindingConditions are required to use bindingFailureConditions");
    }
    if failed.is_empty() && !ready.is_empty() {
        failed.invalid(errors, "bindingFailureConditions are required to use bindingConditions");
    }
}

/// The UID of a share, in the form of RFC 4122.
fn share(at: At<'_>, errors: &mut FieldErrors) {
    if !at.is_set() {
        return;
    }
    let text = at.text();
    if let Some(wrong) = names::uuid_error(text) {
        at.invalid(errors, format!("error validating uid: {wrong}"));
    } else if text.len() != 36 || text.bytes().any(|b| b.is_ascii_uppercase()) {
        at.invalid(
            errors,
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase \
             hexadecimal characters",
        );
    }
}

fn devices(list: At<'_>, allocated: &HashSet<DeviceId<'_>>, errors: &mut FieldErrors) {
    for device in list.items() {
        DEVICE.check(device, errors);
        share(device.get("shareID"), errors);
        let id = device_id(device.value());
        if !allocated.contains(&id) {
            device.invalid_as(errors, shown(id), "must be an allocated device in the claim");
        }
        let told = device.get("conditions");
        if told.len() > CONDITIONS_MAX {
            told.too_many(errors, CONDITIONS_MAX);
        }
        conditions(told, errors);
        data(device.get("data"), errors);
        network(device.get("networkData"), errors);
    }
    let mut seen = HashSet::new();
    for device in list.items() {
        let id = device_id(device.value());
        if !seen.insert(id) {
            device.duplicate_as(errors, shown(id));
        }
    }
}

/// What a driver has to say in its own words: an object.
fn data(at: At<'_>, errors: &mut FieldErrors) {
    if !at.is_set() {
        return;
    }
    if at.value().to_string().len() > DATA_MAX {
        at.too_long(errors, DATA_MAX);
    } else if !at.value().is_object() {
        at.invalid_as(errors, "<value omitted>", "must be a valid JSON object");
    }
}

fn network(at: At<'_>, errors: &mut FieldErrors) {
    NETWORK.check(at, errors);
    let addresses = at.get("ips");
    if fits(addresses, ADDRESSES_MAX, errors) {
        addresses.items().for_each(|address| interface_address(address, errors));
        once(addresses, "", errors);
    }
}

/// An address with the length of its network's prefix, in the one form that it has (IsValidInterfaceAddress).
fn interface_address(at: At<'_>, errors: &mut FieldErrors) {
    let text = at.text();
    let parts = text.split_once('/').filter(|_| parse_cidr(text).is_some());
    let Some((ip, bits)) = parts.and_then(|(ip, bits)| Some((parse_ip(ip)?, bits.parse::<u8>().ok()?))) else {
        at.invalid_as(errors, text, "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)");
        return;
    };
    let (ip, bits) = match ip {
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            // Less than nothing where the prefix ends before the address of IPv4 begins, as in Kubernetes.
            Some(four) => (IpAddr::V4(four), if bits > 32 { i16::from(bits) - 96 } else { i16::from(bits) }),
            None => (ip, i16::from(bits)),
        },
        IpAddr::V4(_) => (ip, i16::from(bits)),
    };
    let canonical = format!("{ip}/{bits}");
    if canonical != text {
        at.invalid_as(errors, text, format!("must be in canonical form ({canonical:?})"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_an_address_in_its_one_form() {
        let check = |text: &str, expected: Option<&str>| {
            let object = Object::from_value(json!({"ip": text})).expect("an object");
            let at = At::object(&object);
            let mut errors = FieldErrors::default();
            interface_address(at.get("ip"), &mut errors);
            let found: Vec<&str> = errors.iter().map(|error| error.detail.as_str()).collect();
            let expected: Vec<String> =
                expected.iter().map(|form| format!("must be in canonical form (\"{form}\")")).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("10.0.0.1/24", None);
        check("2001:db8::1/64", None);
        check("::ffff:10.0.0.1/120", Some("10.0.0.1/24"));
        check("::ffff:10.0.0.1/64", Some("10.0.0.1/-32"));
        check("::ffff:10.0.0.1/32", Some("10.0.0.1/32"));
    }
}
