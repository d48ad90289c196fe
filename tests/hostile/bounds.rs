//! Memory use of files that expand up to the limit.

use wgru::Device;
use wgru::io::{TensorFile, load_network};

use super::allocator::measure;
use super::zip::{deflated, stored, zip};
use super::{SECOND, header, npy};

#[test]
fn safetensors_headers_stay_within_the_memory_of_their_file() {
    let file = |json: &str| [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    let many = |part: &dyn Fn(usize) -> String, len: usize| {
        let mut text = String::from("{");
        let mut k = 0;
        while text.len() < len {
            text += &part(k);
            k += 1;
        }
        text.pop();
        text + "}"
    };
    let tensor = |k: usize| format!("\"{k}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}},");
    let zeros =
        format!("{{\"a\":{{\"dtype\":\"U8\",\"shape\":[{}0],\"data_offsets\":[0,0]}}}}", "0,".repeat(8_000_000));
    let texts = format!("{{\"__metadata__\":{}}}", many(&|k| format!("\"{k:x}\":\"\","), 16_000_000));
    for (what, json, is_good) in [
        ("many tensors", many(&tensor, 16_700_000), true),
        ("one long shape", zeros, false),
        ("objects", format!("{{\"a\":[{}0]}}", "{\"\":0},".repeat(2_000_000)), false),
        ("many texts", texts, true),
        ("numbers", many(&|k| format!("\"{k:x}\":0,"), 16_700_000), false),
        ("lists", format!("{{\"a\":{}1{}}}", "[".repeat(8_000_000), "]".repeat(8_000_000)), false),
    ] {
        let bytes = file(&json);
        let (read, used) = measure("hostile_files", 0, || TensorFile::from_bytes("hostile", &bytes));
        println!("{what}: {} bytes of file, {used:?}", bytes.len());
        assert_eq!(read.is_ok(), is_good, "{what}");
        assert!(used.memory < 100_000_000 + 20 * bytes.len() && used.time < 2 * SECOND, "{what}: {used:?}");
    }
}

/// Small files that expand up to the limit, or are refused just before.
#[test]
fn small_files_stay_within_the_memory_limit() {
    let bytes_of = |n: usize| npy(&header("|u1", &format!("({n},)")), &vec![0; n]);
    let mut largest = 0;
    let mut hold = |what: &str, bytes: &[u8]| {
        let (read, used) = measure("hostile_files", 0, || TensorFile::from_bytes("hostile", bytes));
        println!("{what}: {} bytes of file, {used:?}, read: {}", bytes.len(), read.is_ok());
        assert!(used.memory <= 100_000_000 + 20 * bytes.len(), "{what}: {used:?} for {} bytes", bytes.len());
        assert!(used.time < 2 * SECOND, "{what}: {used:?}");
        largest = largest.max(used.memory);
        read.is_ok()
    };
    assert!(hold("an array", &zip(&[deflated("a.npy", &bytes_of(6_000_000))])), "within the limit");
    assert!(!hold("a larger array", &zip(&[deflated("a.npy", &bytes_of(8_000_000))])), "over the limit");
    let parts: Vec<String> = (0..40).map(|k| format!("{k}.npy")).collect();
    let array = bytes_of(200_000);
    let parts: Vec<_> = parts.iter().map(|name| deflated(name, &array)).collect();
    assert!(hold("arrays one after the other", &zip(&parts)), "the memory of earlier arrays is freed");
    // Uncompressed half precision and bytes, as real files hold them.
    assert!(hold("half precision", &npy(&header("<f2", "(20000000,)"), &vec![0; 40_000_000])));
    assert!(hold("bytes", &bytes_of(40_000_000)));
    let names: Vec<String> = (0..60_000).map(|k| format!("{k}.npy")).collect();
    let empty = npy(&header("|u1", "(0,)"), b"");
    assert!(hold("many members", &zip(&names.iter().map(|name| stored(name, &empty)).collect::<Vec<_>>())));
    let text = format!("{{{}\"\":\"\"}}", (0..400_000).map(|k| format!("\"{k:x}\":\"\",")).collect::<String>());
    let wide: Vec<u8> = text.chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
    let array = npy(&header(&format!("<U{}", text.len()), "()"), &wide);
    hold("texts of an archive", &zip(&[deflated("__metadata__.npy", &array)]));
    hold("more room for texts", &zip(&[stored("__metadata__.npy", &array)]));
    // Pickles with the elements that take the most memory: the stack, marks, the memo, dicts, and keys.
    let pickle = |program: &[u8]| zip(&[deflated("a/data.pkl", program), stored("a/data/0", &[0; 64])]);
    for n in [100_000usize, 200_000, 500_000] {
        for (what, part) in
            [("stack", &b"N"[..]), ("marks", b"("), ("memo", b"\x94"), ("dicts", b"}"), ("pairs", b"NN\x86")]
        {
            hold(what, &pickle(&[b"\x80\x04N", &part.repeat(n)[..], b"."].concat()));
        }
        let keys: Vec<u8> = (0..n as u32).flat_map(|k| [b"J", &k.to_le_bytes()[..], b"K\0"].concat()).collect();
        hold("keys", &pickle(&[b"\x80\x04}(", &keys[..], b"u."].concat()));
        hold("keys one by one", &pickle(&[b"\x80\x04}", &[&keys[..7], b"s"].concat().repeat(n)[..], b"."].concat()));
    }
    assert!(largest > 32_000_000, "no file came near the bound");
}

/// Files of a megabyte with as many layers, weight norms and names in common as fit.
#[test]
fn imports_take_a_second_at_most() {
    let many = |part: &dyn Fn(usize) -> String| {
        let mut text = String::from("{");
        for k in 0.. {
            if text.len() > 1_000_000 {
                break;
            }
            text += &part(k);
        }
        text.pop();
        text + "}"
    };
    let nested = |k: usize| format!("\"{}{k}.weight_hh_l0\":[[1]],", "a.".repeat(1 + k % 400));
    let deep = |k: usize| format!("\"{k}\":{}[1]{}{:60},", "{\"a\":".repeat(10), "}".repeat(10), "");
    let dense = |k: usize| format!("{{\"type\":\"dense\",\"weights\":[[[{}]]]}},", k % 10);
    let gru = "{\"type\":\"gru\",\"weights\":[[[1,2,3]],[[1,2,3]],[1,2,3]]},";
    let network = |layers: &str| format!("{{\"layers\":[{}]}}", &layers[..layers.len() - 1]);
    let good = "{\"type\":\"a\",\"weights\":[[1]]},".repeat(34_000);
    for (what, is_read, text) in [
        ("layers", true, many(&|k| format!("\"{k}.weight_hh_l0\":[[1]],\"{k}.weight_ih_l0\":[[1]],"))),
        (
            "directions",
            true,
            many(&|k| format!("\"{k}.forward_a.kernel\":[[1]],\"{k}.forward_a.recurrent_kernel\":[[1]],")),
        ),
        ("one matrix each", true, many(&|k| format!("\"{k}.recurrent_kernel:0\":[[1]],"))),
        ("weight norms", true, many(&|k| format!("\"{k}.weight_g\":[1],\"{k}.weight_v\":[1],"))),
        ("nested names", true, many(&nested)),
        ("layers of RTNeural", false, format!("{{\"layers\":[{}0]}}", "{\"type\":\"a\"},".repeat(80_000))),
        ("numbers", true, format!("{{\"a\":[{}0]}}", "1,".repeat(500_000))),
        ("lists", false, format!("{{\"a\":[{}0]}}", "[],".repeat(300_000))),
        ("depth", false, format!("{{\"a\":{}1{}}}", "[".repeat(500_000), "]".repeat(500_000))),
        // As large as the last ones, but within the limits.
        ("good layers of RTNeural", true, network(&good)),
        ("dense layers of RTNeural", true, network(&(0..25_000).map(dense).collect::<String>())),
        ("recurrent layers of RTNeural", true, network(&gru.repeat(16_000))),
        ("fewer lists", true, format!("{{\"a\":[{}0]}}", "[]         ,".repeat(80_000))),
        ("less depth", true, many(&deep)),
    ] {
        let read = super::measured(what, || {
            let file = TensorFile::import_bytes("hostile", text.as_bytes())?;
            let _ = (file.layers(), file.recurrent("missing"));
            Ok::<_, wgru::Error>(file)
        });
        if let Ok(file) = &read {
            super::measured(&format!("the network of {what}"), || load_network(&Device::cpu(), file)).ok();
        }
        let read = read.map(drop);
        assert_eq!(read.is_ok(), is_read, "{what}: {read:?}");
    }
}
