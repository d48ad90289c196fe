//! Files with duplicate entries, or with missing parts.

use super::zip::{stored, zip};
use super::{ARRAYS, COMPRESSED, KERAS, LEGACY, STATE, header, npy, read, refused, tensor, torch};

#[test]
fn duplicate_entries_are_refused() {
    let file =
        |json: &str, data: usize| [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &vec![0; data]].concat();
    let entry = |from: usize| format!(r#"{{"dtype":"U8","shape":[1],"data_offsets":[{from},{}]}}"#, from + 1);
    for json in [
        format!(r#"{{"a":{},"a":{}}}"#, entry(0), entry(1)),
        format!(r#"{{"a":{},"\u0061":{}}}"#, entry(0), entry(1)),
        format!(r#"{{"a":{},"a":{}}}"#, entry(0), entry(0)),
        r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2],"shape":[2]}}"#.into(),
        r#"{"a":{"dtype":"U8","dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#.into(),
        format!(r#"{{"__metadata__":{{"k":"1","k":"2"}},"a":{},"b":{}}}"#, entry(0), entry(1)),
        format!(r#"{{"__metadata__":{{}},"a":{},"b":{},"__metadata__":{{"k":"1"}}}}"#, entry(0), entry(1)),
    ] {
        // Empty, so that the two tensors do not share bytes.
        let data = if json.contains("[1,2]") || json.contains("[0,2]") { 2 } else { 1 };
        let error = read(&json, &file(&json, data)).expect_err(&json).to_string();
        assert!(error.contains("twice") || error.contains("exactly once"), "{json}: {error}");
    }
    refused(
        "header of an array",
        &npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", &[0; 8]),
        "twice",
    );
    let text = r#"{"k":"1","k":"2"}"#;
    let wide: Vec<u8> = text.chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
    let array = npy(&header(&format!("<U{}", text.len()), "()"), &wide);
    refused("metadata of arrays", &zip(&[stored("__metadata__.npy", &array)]), "twice");

    let tensor = |k: u8| [&tensor(b"K\0", b"K\x02\x85", b"K\x01\x85")[..], &[b'q', k]].concat();
    let text = |t: &str| [b"X", &(t.len() as u32).to_le_bytes()[..], t.as_bytes()].concat();
    let dict = |pairs: &[(&[u8], &[u8])]| {
        let pairs: Vec<u8> = pairs.iter().flat_map(|(key, value)| [*key, *value].concat()).collect();
        [b"}(", &pairs[..], b"u"].concat()
    };
    let (a, b, ab) = (text("a"), text("b"), text("a.b"));
    let inner = dict(&[(&b, &tensor(1))]);
    for (what, program) in [
        ("a key", dict(&[(&a, &tensor(1)), (&a, &tensor(2))])),
        ("a key of nothing", dict(&[(&a, b"N"), (&a, &tensor(2))])),
        ("a number and a text", dict(&[(b"K\0", &tensor(1)), (&text("0"), &tensor(2))])),
        ("names once joined", dict(&[(&ab, &tensor(1)), (&a, &inner)])),
        ("texts once joined", dict(&[(&ab, b"K\x01"), (&a, &dict(&[(&b, b"K\x02")])), (&b, &tensor(1))])),
        ("a tensor and a number", dict(&[(&ab, b"K\x01"), (&a, &inner)])),
    ] {
        let bytes = torch(&[b"\x80\x02", &program[..], b"."].concat());
        let error = read(what, &bytes).expect_err(what).to_string();
        assert!(error.contains("twice") || error.contains("both"), "{what}: {error}");
    }
    let good = dict(&[(&text(""), &tensor(1)), (&a, &inner), (&text(".x"), &dict(&[(&b, &tensor(2))]))]);
    let good = read("good", &torch(&[b"\x80\x02", &good[..], b"."].concat())).expect("three tensors");
    assert_eq!(good.names().collect::<Vec<_>>(), ["", ".x.b", "a.b"]);
    // One storage used with two element types.
    let other: Vec<u8> = super::tensor(b"K\0", b"K\x02\x85", b"K\x01\x85");
    let at = other.windows(12).position(|w| w == b"FloatStorage").expect("its type");
    let other = [&other[..at], b"LongStorage", &other[at + 12..]].concat();
    let program = [b"\x80\x02", &dict(&[(&a, &tensor(1)), (&b, &other)])[..], b"."].concat();
    refused("two types", &torch(&program), "two types");
    refused("after the storages", &[LEGACY, &[0]].concat(), "after its storages");
}

#[test]
fn archives_that_lost_members_are_refused() {
    refused("no directory", b"PK\x03\x04weights herePK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "");
    let array = |k: u8| npy(&header("<f4", "(2,)"), &[k; 8]);
    let two = zip(&[stored("a.npy", &array(1)), stored("b.npy", &array(2))]);
    for bytes in [&two[..], ARRAYS, COMPRESSED, STATE, KERAS] {
        assert!(read("whole", bytes).is_ok(), "the unmodified file is valid");
        let end = bytes.windows(4).rposition(|w| w == b"PK\x05\x06").expect("an end");
        let changed = |change: &dyn Fn(&mut [u8])| {
            let mut bytes = bytes.to_vec();
            change(&mut bytes[end..]);
            bytes
        };
        let size = u32::from_le_bytes(bytes[end + 12..end + 16].try_into().expect("four bytes"));
        let start = u32::from_le_bytes(bytes[end + 16..end + 20].try_into().expect("four bytes"));
        refused("counts of zero", &changed(&|e| e[8..12].fill(0)), "");
        refused("all zero", &changed(&|e| e[8..20].fill(0)), "");
        refused("zero from the start", &changed(&|e| e[8..16].fill(0)), "");
        refused(
            "an empty directory at the end",
            &changed(&|e| {
                e[8..16].fill(0);
                e[16..20].copy_from_slice(&(start + size).to_le_bytes());
            }),
            "",
        );
    }
    // The directory skips its first entry, and all counts and sizes agree with that.
    let end = two.len() - 22;
    let entry = 46 + "a.npy".len() as u32;
    let mut first = two.clone();
    for (at, value) in [(12, entry), (16, end as u32 - entry)] {
        first[end + at..end + at + 4].copy_from_slice(&value.to_le_bytes());
    }
    for at in [8, 10] {
        first[end + at..end + at + 2].copy_from_slice(&1u16.to_le_bytes());
    }
    refused("the first member", &first, "a member is missing");
    // A member before the first, one between two, and one before the directory.
    let body = zip(&[stored("a.npy", &array(1))]);
    let body = &body[..body.len() - 22 - entry as usize];
    let mut shifted = [body, &two[..]].concat();
    let at = shifted.len() - 22;
    let mut move_by = |at: usize| {
        let old = u32::from_le_bytes(shifted[at..at + 4].try_into().expect("four bytes"));
        shifted[at..at + 4].copy_from_slice(&(old + body.len() as u32).to_le_bytes());
    };
    move_by(at + 16);
    move_by(at - entry as usize + 42);
    move_by(at - 2 * entry as usize + 42);
    refused("a member before the first", &shifted, "a member is missing");
    let none = read("an archive of nothing", &zip(&[])).expect("what NumPy writes for no arrays");
    assert_eq!(none.names().count(), 0);
}
