//! Bodies in each format: JSON, YAML, protobuf.

use crate::corpus::{object, type_of, typed};
use crate::input::{Input, bent, garble, pick, sometimes_garbled};
use crate::target::{Bound, LINEAR, Target, Verdict};
use sampan_schema::limits::PROBLEMS_MAX;
use sampan_schema::problems::{strict_error, warnings};
use sampan_schema::{Decoded, ObjectType, Schema, default, facts, json, protobuf, yaml};
use serde_json::Value;

/// The type of what says none.
pub fn fallback() -> ObjectType {
    ObjectType::find(Schema::builtin(), "", "v1", "Pod").expect("a built-in kind")
}

/// What a body that was read keeps: its form is canonical, in every format; defaults and facts of fields take it.
fn keeps(ty: &ObjectType, decoded: Decoded) {
    assert!(decoded.problems.len() <= PROBLEMS_MAX, "{} problems", decoded.problems.len());
    assert_eq!(decoded.problems.len(), warnings(&decoded.problems).len());
    let _ = strict_error(&decoded.problems);
    let (schema, id, value) = (ty.schema(), ty.id(), decoded.value);
    let again = json::decode(schema, id, value.to_string().as_bytes()).expect("what was read is read again");
    assert_eq!((&again.value, again.problems.len()), (&value, 0), "read again it is another");
    let tree = json::from_value(schema, id, &value).expect("as a tree too");
    assert_eq!(tree.value, value, "read as a tree it is another");
    if ty.def().has_protobuf() {
        let mut wire = Vec::new();
        protobuf::encode(schema, id, &value, &mut wire).expect("what was read can be written");
        let back = protobuf::decode(schema, id, &wire).expect("what was written can be read").value;
        let mut again = Vec::new();
        protobuf::encode(schema, id, &back, &mut again).expect("and written again");
        assert_eq!(again, wire, "written again it is another");
    }
    let Value::Object(mut map) = value else { panic!("no object") };
    if default::apply(schema, id, &mut map).is_ok() {
        let once = map.clone();
        assert_eq!(default::apply(schema, id, &mut map), Ok(()));
        assert_eq!(map, once, "its defaults have defaults");
    }
    let _ = facts::check(schema, id, &map, facts::Write::Create, facts::Part::Whole);
    let _ = facts::check(schema, id, &map, facts::Write::Update(&map), facts::Part::Whole);
}

pub const JSON: Target<'_> = Target {
    name: "json",
    cases: 700,
    input: &|dice| {
        let (tree, other) = (object(dice).clone(), object(dice));
        Input::one(bent(dice, tree, other))
    },
    read: &|input| {
        let body = input.part(0);
        let ty = match json::type_meta(body) {
            Ok(meta) => {
                let (group, version) = meta.api_version.rsplit_once('/').unwrap_or(("", &meta.api_version));
                ObjectType::find(Schema::builtin(), group, version, &meta.kind).unwrap_or_else(fallback)
            }
            Err(error) => {
                let _ = error.message("Pod", "", "", body);
                fallback()
            }
        };
        match json::decode(ty.schema(), ty.id(), body) {
            Ok(decoded) => {
                keeps(&ty, decoded);
                Verdict::Taken
            }
            Err(error) => {
                let _ = error.message("Pod", "Pod", "v1", body);
                Verdict::Refused
            }
        }
    },
    bound: OF_OBJECTS,
};

/// The laws read and write an object some ten times.
const OF_OBJECTS: Bound = Bound { turnover: 40, ..LINEAR };

/// Documents that only YAML can say.
const DOCUMENTS: &[&str] = &[
    "a: &x [1, 2]\nb: *x\n<<: {c: 1}\n",
    "a: |\n  text\n  more\nb: >-\n  folded\n  lines\nc: 'it''s'\nd: \"\\x41\\u0042\\n\"\n",
    "- yes\n- 0o17\n- 0x1F\n- 1_000\n- .inf\n- -.nan\n- 2001-01-01\n- ~\n- !!str 5\n- !!binary aGk=\n",
    "? [a, b]\n: 1\n? {c: d}\n: 2\n",
    "--- \na: 1\n...\n---\nb: 2\n",
    "%YAML 1.1\n---\na: !local {b: &c d, e: *c}\n",
    "a: &a [x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\nd: &d [*c, *c, *c]\n",
];

pub const YAML: Target<'_> = Target {
    name: "yaml",
    cases: 700,
    input: &|dice| {
        if dice.one_in(3) {
            let text = crate::input::several(dice, 3, DOCUMENTS);
            return Input::one(sometimes_garbled(dice, 2, text));
        }
        let (mut tree, other) = (object(dice).clone(), object(dice));
        crate::input::bend(dice, &mut tree, other);
        let text = yaml::encode(&tree);
        Input::one(sometimes_garbled(dice, 2, text))
    },
    read: &|input| {
        let read = yaml::to_json(input.part(0));
        let Ok((value, problems)) = &read else { return Verdict::Refused };
        assert!(problems.len() <= PROBLEMS_MAX);
        let (again, _) = yaml::to_json(yaml::encode(value).as_bytes()).expect("what was written is read");
        assert_eq!(&again, value, "written and read again it is another");
        if let Some(ty) = type_of(value) {
            drop(yaml::decode(ty.schema(), ty.id(), input.part(0)).map(|decoded| keeps(&ty, decoded)));
        }
        Verdict::Taken
    },
    // Aliases stand for what they name, within limits of their own.
    bound: Bound { held: 64 << 20, held_a_byte: 2_000, turnover: 12 },
};

pub const PROTOBUF: Target<'_> = Target {
    name: "protobuf",
    cases: 700,
    input: &|dice| {
        let (ty, value) = typed(dice);
        let wire = protobuf::encode_object(ty.schema(), ty.id(), &value);
        let mut wire = wire.unwrap_or_else(|_| protobuf::wrap("v1", "Pod", b"\x0a\x00"));
        if !dice.one_in(4) {
            garble(dice, &mut wire);
        }
        Input::one(wire)
    },
    read: &|input| {
        let Ok(envelope) = protobuf::unwrap(input.part(0)) else { return Verdict::Refused };
        let (group, version) = envelope.api_version.rsplit_once('/').unwrap_or(("", envelope.api_version));
        let ty = ObjectType::find(Schema::builtin(), group, version, envelope.kind).unwrap_or_else(fallback);
        let Ok(decoded) = protobuf::decode(ty.schema(), ty.id(), envelope.raw) else { return Verdict::Refused };
        keeps(&ty, decoded);
        Verdict::Taken
    },
    bound: OF_OBJECTS,
};

/// Any bytes as any format: what each reader makes of what is not meant for it.
pub const NOISE: Target<'_> = Target {
    name: "noise",
    cases: 500,
    input: &|dice| {
        let mut bytes = pick(dice, &["", "k8s\0", "{}", "{\"spec\":{}}", "a: 1\n"]).as_bytes().to_vec();
        bytes.extend((0..dice.roll(24)).filter(|at| at % 3 == 0).map(|_| dice.next_u64() as u8));
        garble(dice, &mut bytes);
        Input::one(bytes)
    },
    read: &|input| {
        let (ty, body) = (fallback(), input.part(0));
        let read = [
            json::decode(ty.schema(), ty.id(), body),
            yaml::decode(ty.schema(), ty.id(), body),
            protobuf::decode(ty.schema(), ty.id(), body),
        ];
        drop((json::type_meta(body), yaml::type_meta(body), protobuf::unwrap(body)));
        let mut taken = Verdict::Refused;
        for decoded in read.into_iter().flatten() {
            taken = Verdict::Taken;
            keeps(&ty, decoded);
        }
        taken
    },
    bound: Bound { held: 64 << 20, ..OF_OBJECTS },
};
