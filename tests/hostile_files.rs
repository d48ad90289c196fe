//! Malicious files: each returns an error within a second and a hundred megabytes, and none of their content is
//! executed.

#[path = "common/allocator.rs"]
mod allocator;
#[path = "hostile/bounds.rs"]
mod bounds;
#[path = "hostile/keras.rs"]
mod keras;
#[path = "hostile/kinds.rs"]
mod kinds;
#[path = "onnx/hostile.rs"]
mod onnx;
#[path = "onnx/bombs.rs"]
mod onnx_bombs;
#[path = "onnx/build.rs"]
mod onnx_build;
#[path = "onnx/limits.rs"]
mod onnx_limits;
#[path = "onnx/proportion.rs"]
mod onnx_proportion;
#[path = "hostile/twice.rs"]
mod twice;
#[path = "common/zip.rs"]
mod zip;

use std::time::Duration;

use allocator::measure;
use wgru::io::TensorFile;
use zip::{Member, end, stored, zip};

const SECOND: Duration = Duration::from_secs(1);
const MEMORY: usize = 100 << 20;

const ARRAYS: &[u8] = include_bytes!("readers/arrays.npz");
const COMPRESSED: &[u8] = include_bytes!("readers/compressed.npz");
const FORTRAN: &[u8] = include_bytes!("readers/fortran.npy");
const STATE: &[u8] = include_bytes!("readers/state.pt");
const LEGACY: &[u8] = include_bytes!("readers/legacy.pt");

const KERAS: &[u8] = include_bytes!("readers/model.keras");
const WEIGHTS: &[u8] = include_bytes!("readers/model.weights.h5");
const HDF5: &[u8] = include_bytes!("readers/arrays.h5");

/// Runs a reader and checks its time and memory. The memory of the file itself is not counted.
fn measured<T>(what: &str, read: impl FnOnce() -> T) -> T {
    let (result, used) = measure("hostile_files", 0, read);
    assert!(used.time < SECOND && used.memory < MEMORY, "{what}: {used:?}");
    result
}

fn read(what: &str, bytes: &[u8]) -> wgru::Result<TensorFile> {
    measured(what, || TensorFile::from_bytes("hostile", bytes))
}

/// Asserts that the file is refused with a message that contains `word`.
#[track_caller]
fn refused(what: &str, bytes: &[u8], word: &str) {
    match read(what, bytes) {
        Ok(_) => panic!("{what}: was read"),
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with("hostile") && text.contains(word), "{what}: {text}");
            assert!(text.len() < 3000, "{what}: a message of {} bytes", text.len());
        }
    }
}

fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

fn header(descr: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}")
}

/// Returns a `torch.save` file with this pickle and one storage of 64 bytes.
fn torch(program: &[u8]) -> Vec<u8> {
    zip(&[stored("a/data.pkl", program), stored("a/data/0", &[0; 64])])
}

/// Returns the pickle of `_rebuild_tensor_v2(storage 0 of floats, offset, dims, strides, False, OrderedDict())`,
/// without its end.
fn tensor(offset: &[u8], dims: &[u8], strides: &[u8]) -> Vec<u8> {
    let storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x10tQ";
    let rest = b"\x89ccollections\nOrderedDict\n)RtR";
    [b"ctorch._utils\n_rebuild_tensor_v2\n(", &storage[..], offset, dims, strides, rest].concat()
}

/// Deflate's longest run: `n` zero bytes in about n / 1030 bytes, as one block with fixed codes.
fn deflated_zeros(n: usize) -> Vec<u8> {
    let (mut out, mut word, mut bits) = (Vec::new(), 0u64, 0);
    let mut put = |value: u64, count: u32| {
        word |= value << bits;
        bits += count;
        while bits >= 8 {
            out.push(word as u8);
            word >>= 8;
            bits -= 8;
        }
    };
    // Last block, fixed codes; literal 0 is 00110000 from its high bit; length 258 is 11000101, distance 1 is 00000.
    put(0b011, 3);
    put(0b0000_1100, 8);
    (0..(n - 1) / 258).for_each(|_| put(0b0_0000_1010_0011, 13));
    (0..(n - 1) % 258).for_each(|_| put(0b0000_1100, 8));
    put(0, 7 + 8);
    out
}

#[test]
fn pickles_with_code_are_refused_by_name() {
    for name in [
        "os system",
        "posix system",
        "nt system",
        "builtins eval",
        "builtins exec",
        "builtins getattr",
        "__builtin__ eval",
        "subprocess Popen",
        "copyreg _reconstructor",
        "copy_reg _reconstructor",
        "runpy _run_code",
        "torch load",
        "torch.hub load",
        "numpy.core.multiarray scalar",
        "__main__ Model",
        "torch.jit _script",
        "collections defaultdict",
        "torch FloatStorage.__init__",
    ] {
        let (module, name) = name.split_once(' ').expect("two words");
        let old = format!("\u{0}c{module}\n{name}\n(X\u{2}\0\0\0idtR.");
        let old = [b"\x80\x02", &old.as_bytes()[1..]].concat();
        let short = |s: &str| [&[0x8c, s.len() as u8], s.as_bytes()].concat();
        let new = [b"\x80\x04".to_vec(), short(module), short(name), b"\x93(\x8c\x02idtR.".to_vec()].concat();
        for program in [&old, &new] {
            refused(name, &torch(program), &format!("{module}.{name}"));
        }
    }
    // For `import`, objects of foreign classes stay without content, and a tensor beside them is read.
    let tensor = tensor(b"K\0", b"K\x02\x85", b"K\x01\x85");
    let call = b"cos\nsystem\n(X\x02\0\0\0idtR";
    let objects =
        [b"cos\nsystem\n)\x81".as_slice(), b"cos\nsystem\n)}\x92", b"(ios\nsystem\n", b"(cos\nsystem\no", call];
    for object in objects {
        let program = [b"\x80\x02}(X\x01\0\0\0a", object, b"X\x01\0\0\0b", &tensor, b"u."].concat();
        refused("an object", &torch(&program), "tensors do not need");
        let file = measured("an object", || TensorFile::import_bytes("hostile", &torch(&program))).expect("imported");
        assert_eq!((file.names().collect::<Vec<_>>(), file.metadata.len()), (vec!["b"], 0));
    }
    // INST, OBJ, NEWOBJ, NEWOBJ_EX, PERSID, EXT1, EXT2, EXT4, NEXT_BUFFER: opcodes that tensors never need.
    for code in [b'i', b'o', 0x81, 0x92, b'P', 0x82, 0x83, 0x84, 0x97, b'I', b'S', b'F', b'V', 0xff, 0] {
        refused("instruction", &torch(&[0x80, 2, b'(', b')', code, b'.']), &format!("{code:#04x}"));
    }
}

#[test]
fn invalid_pickles_are_refused() {
    let cases: &[(&str, &[u8], &str)] = &[
        ("empty", b"", "cut short"),
        ("nothing on the stack", b".", "empty stack"),
        ("below the mark", b"N(0.", "empty stack"),
        ("tuple of two from one", b"N\x86.", "empty stack"),
        ("mark never set", b"Nt.", "mark"),
        ("odd dict", b"}(Nu.", "key but no value"),
        ("items for none", b"NNa.", "not a list"),
        ("entries for a list", b"]NNs.", "not a dict"),
        ("memo never set", b"h\x07.", "memo 7"),
        ("wide memo", b"Nr\xff\xff\xff\xffj\xfe\xff\xff\xff.", "memo 4294967294"),
        ("giant text", b"X\xff\xff\xff\x7fabc.", "cut short"),
        ("giant text 8", b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc.", "cut short"),
        ("giant long", b"\x8b\xff\xff\xff\xff1.", "cut short"),
        ("giant bytes", b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f1.", "cut short"),
        ("text of no UTF-8", b"X\x01\0\0\0\xff.", "UTF-8"),
        ("name without an end", b"ctorch", "name without an end"),
        ("protocol", b"\x80\x09N.", "protocol 9"),
        ("call of a number", b"K\x01)R.", "cannot be called"),
        ("call with no tuple", b"ctorch\nSize\nK\x01R.", "cannot be called"),
        ("storage called", b"ctorch\nFloatStorage\nK\x05\x85R.", "does not take"),
        ("state for a tuple", b"(t}b.", "not an object"),
        ("persistent id", b"K\x01Q.", "persistent id"),
        ("foreign persistent id", b"X\x01\0\0\0aK\x01\x86Q.", "persistent id"),
        ("no tensor", b"}.", "holds no tensor"),
        ("trailing bytes", b"}.}.", "after its pickle"),
        ("key that is a list", b"}]Ns.", "key"),
    ];
    for (what, program, word) in cases {
        refused(what, &torch(program), word);
    }
}

#[test]
fn tensors_past_their_storage_are_refused() {
    type Case = (&'static str, &'static [u8], &'static [u8], &'static [u8], &'static str);
    let cases: &[Case] = &[
        ("too many", b"K\0", b"K\x11\x85", b"K\x01\x85", "reaches past"),
        ("offset", b"K\x0d", b"K\x04\x85", b"K\x01\x85", "reaches past"),
        ("stride", b"K\0", b"K\x02\x85", b"K\x10\x85", "reaches past"),
        ("negative offset", b"J\xff\xff\xff\xff", b"K\x02\x85", b"K\x01\x85", "starts at -1"),
        ("negative extent", b"K\0", b"J\xff\xff\xff\xff\x85", b"K\x01\x85", "counts"),
        ("fewer strides", b"K\0", b"K\x02K\x02\x86", b"K\x01\x85", "strides"),
        (
            "overflow",
            b"K\0",
            b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85",
            b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85",
            "impossible shape",
        ),
        ("endless repetition", b"K\0", b"J\0\0\0\x40\x85", b"K\0\x85", "expands"),
        ("endless by axes", b"K\0", b"J\0\0\0\x40J\0\0\0\x40\x86", b"K\0K\0\x86", "impossible shape"),
        ("shape of texts", b"K\0", b"X\x01\0\0\0a\x85", b"K\x01\x85", "counts"),
    ];
    for (what, offset, dims, strides, word) in cases {
        let program = [b"\x80\x02", &tensor(offset, dims, strides)[..], b"."].concat();
        refused(what, &torch(&program), word);
    }
    let whole = [b"\x80\x02", &tensor(b"K\0", b"K\x10\x85", b"K\x01\x85")[..], b"."].concat();
    assert!(read("whole", &torch(&whole)).is_ok(), "the unmodified file is valid");
    // A seventh argument marks the elements as conjugated or negated.
    let flags = |flags: &[u8]| [&whole[..whole.len() - 3], flags, b"tR."].concat();
    refused("flags", &torch(&flags(b"}X\x04\0\0\0conj\x88s")), "flags");
    assert!(read("no flags", &torch(&flags(b"N"))).is_ok());
    let lost = zip(&[stored("a/data.pkl", &whole)]);
    refused("no storage", &lost, "a/data/0");
}

#[test]
fn endless_and_self_containing_pickles_are_refused() {
    // A list and a dict that contain themselves.
    refused("list loop", &torch(b"]q\0h\0a."), "nested deeper");
    refused("dict loop", &torch(b"}q\0X\x01\0\0\0ah\0s."), "nested deeper");
    // Deeply nested lists.
    refused("deep", &torch(&[&[b']'; 10_000][..], &[b'a'; 9_999], b"."].concat()), "nested deeper");
    // Each list contains the previous one eight times: 8^30 places.
    let doubling: Vec<u8> =
        (0..30).flat_map(|k| [&[b']', b'q', k + 1, b'('][..], &[b'h', k].repeat(8), b"e"].concat()).collect();
    refused("exponential", &torch(&[b"]q\0", &doubling[..], b"."].concat()), "the names");
    // A long text as the key of every level.
    let level = [b"}X\x00\x02\0\0", &[b'k'; 512][..]].concat();
    refused("long names", &torch(&[&level.repeat(20)[..], b"N", &[b's'; 20], b"."].concat()), "a name of more than");
    for code in [b']', b')', b'}', b'N', b'(', b'\x94'] {
        let program = [&b"N"[..], &vec![code; 3 << 20], b"."].concat();
        refused("many", &torch(&program), "more than");
    }
    let pairs = [b"(".to_vec(), b"NN\x86".repeat(50_000), b"lq\0".to_vec()].concat();
    let copies = b"ccollections\nOrderedDict\nh\0\x85R".repeat(10_000);
    // A text of a megabyte, referenced a hundred thousand times.
    let text = [b"](X\0\0\x10\0", &vec![b't'; 1 << 20][..], b"q\0", &b"h\0".repeat(100_000), b"e."].concat();
    refused("copied texts", &torch(&text), "expands");
    refused("copied lists", &torch(&[&pairs[..], &copies, b"."].concat()), "more than");
}

#[test]
fn inconsistent_zip_archives_are_refused() {
    let good = npy(&header("<f4", "(2,)"), &[0; 8]);
    let member = stored("a.npy", &good);
    assert!(read("good", &zip(std::slice::from_ref(&member))).is_ok());
    let change = |f: fn(&mut Member<'static>)| {
        let mut m = stored("a.npy", &npy(&header("<f4", "(2,)"), &[0; 8]));
        f(&mut m);
        zip(&[m])
    };
    refused("encrypted", &change(|m| m.flags = 1), "encrypted");
    refused("method", &change(|m| m.method = 14), "method 14");
    refused("checksum", &change(|m| m.crc ^= 1), "checksum");
    refused("stored with two sizes", &change(|m| m.len += 1), "cannot hold");
    refused("zip64", &change(|m| m.len = u32::MAX), "zip64");
    refused("no deflate", &change(|m| m.method = 8), "inflate");
    refused("twice", &zip(&[member.clone(), member.clone()]), "appears twice");
    refused("no array", &zip(&[stored("a.txt", b"text")]), "no .npy");
    let both = zip(std::slice::from_ref(&member));
    let directory = &both[both.len() - 22 - 51..both.len() - 22];
    let body = &both[..both.len() - 22 - 51];
    let mut renamed = directory.to_vec();
    *renamed.last_mut().expect("a name") = b'z';
    refused("other name inside", &end(body.to_vec(), &renamed, 1), "another name");
    refused("one place twice", &end(body.to_vec(), &directory.repeat(2), 2), "overlaps");
    refused("counts more", &end(body.to_vec(), directory, 2), "cut short");
    refused("counts less", &end(body.to_vec(), &directory.repeat(2), 1), "more entries than it counts");
    refused("counts 65535", &end(body.to_vec(), directory, 0xffff), "zip64");
    for at in 0..both.len() {
        refused("cut", &both[..at], "");
    }
}

#[test]
fn decompression_bombs_are_refused_before_they_expand() {
    let zeros = deflated_zeros(200 << 20);
    let crc = 0;
    let bomb = |len: usize| Member { name: "a.npy", data: zeros.clone(), method: 8, flags: 0, crc, len: len as u32 };
    assert!(zeros.len() < 1_400_000, "{}", zeros.len());
    refused("honest bomb", &zip(&[bomb(200 << 20)]), "expands");
    refused("says less", &zip(&[bomb(1000)]), "inflate");
    refused("says more than deflate can", &zip(&[bomb(2_000_000_000)]), "cannot hold");
    let many: Vec<Member> = ["a.npy", "b.npy", "c.npy", "d.npy"]
        .map(|name| {
            let data = deflated_zeros(30 << 20);
            Member { name, data, method: 8, flags: 0, crc, len: 30 << 20 }
        })
        .to_vec();
    refused("a first part that is no array", &zip(&many), "");
    // One-byte elements expand fourfold.
    let text = header("|u1", &format!("({},)", 40 << 20));
    let array = npy(&text, &vec![0; 40 << 20]);
    assert!(TensorFile::from_bytes("large", &array).is_ok(), "a large valid file is accepted");
}

#[test]
fn inconsistent_array_headers_are_refused() {
    let cases = [
        (header("<f4", "(3,)"), "8 bytes of data"),
        (header("<f4", "(1,)"), "8 bytes of data"),
        (header("<f4", "(4611686018427387904, 4)"), "8 bytes of data"),
        (header("<f4", "(4611686018427387904, 4611686018427387904, 0)"), "8 bytes of data"),
        (header("<f4", "(99999999999999999999999,)"), "not an extent"),
        (header("<f4", "(-2,)"), "not an extent"),
        (header("<f4", &format!("({})", "1, ".repeat(40))), "8 bytes of data"),
        (header("|O", "(1,)"), "\"|O\" is not supported"),
        (header("<c8", "(1,)"), "not supported"),
        (header("=f4", "(2,)"), "not supported"),
        (header("<U2", "()"), "holds text"),
        (header("<U99999999", "()"), "not supported"),
        (header("ü4", "(2,)"), "not supported"),
        ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }".into(), "structured"),
        ("{'descr': '<f4', 'shape': (2,), }".into(), "missing"),
        ("{'descr': '<f4', 'fortran_order': 1, 'shape': (2,), }".into(), "fortran_order"),
        ("{'descr': '<f4".into(), "does not end"),
        ("{".repeat(60_000), "expected a string"),
        (header("<i8", "(1,)"), "I64 that f32 cannot"),
    ];
    for (text, word) in cases {
        refused(&text.chars().take(80).collect::<String>(), &npy(&text, &[0, 0, 0, 255, 127, 1, 1, 7]), word);
    }
    refused("version", b"\x93NUMPY\x09\x00\x04\x00abcd", "version");
    refused("giant header", b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "header of 4294967295");
    let json = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let wide: Vec<u8> = json.chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
    let deep = npy(&header(&format!("<U{}", json.len()), "()"), &wide);
    let array = npy(&header("<f4", "(1,)"), &[0; 4]);
    let error = read("tensor of metadata", &zip(&[stored("__metadata__.npy", &array)])).expect_err("it has that name");
    assert!(error.to_string().contains("reserved for the metadata"), "{error}");
    refused("deep metadata", &zip(&[stored("__metadata__.npy", &deep)]), "JSON");
}

#[test]
fn inconsistent_safetensors_are_refused() {
    let file =
        |json: &str, data: usize| [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &vec![0; data]].concat();
    let cases = [
        (file(r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#, 8), ""),
        (file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8), ""),
        (file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}}"#, 8), ""),
        (file(&"[".repeat(200_000), 0), ""),
        (file(&format!(r#"{{"a":{}"#, "{\"a\":".repeat(100_000)), 0), ""),
        ([&u64::MAX.to_le_bytes()[..], b"{}"].concat(), ""),
        (file(&format!(r#"{{"{}":0}}"#, "long".repeat(100_000)), 0), ""),
    ];
    for (bytes, word) in cases {
        refused("safetensors", &bytes, word);
    }
    // A header whose length reads as "PK".
    let header = format!("{:<19280}", r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#);
    let bytes = file(&header, 8);
    assert!(bytes.starts_with(b"PK"));
    assert_eq!(read("PK", &bytes).expect("no zip archive").get("a").expect("there").0, [2]);
}

#[test]
fn inconsistent_hdf5_files_are_refused() {
    let find = |sign: &[u8]| WEIGHTS.windows(sign.len()).position(|w| w == sign).expect("found");
    let change = |at: usize, value: &[u8]| {
        let mut bytes = WEIGHTS.to_vec();
        bytes[at..at + value.len()].copy_from_slice(value);
        bytes
    };
    let (root, table, tree, heap) = (&WEIGHTS[64..72], find(b"SNOD"), find(b"TREE"), find(b"HEAP"));
    refused("a group in itself", &change(table + 16, root), "contains itself");
    refused("a node in itself", &change(tree + 32, &(tree as u64).to_le_bytes()), "contains itself");
    refused("names nowhere", &change(table + 8, &[0xff; 8]), "symbol table");
    refused("objects nowhere", &change(table + 16, &[0xff; 8]), "past the end");
    refused("65,535 objects", &change(table + 6, &[0xff; 2]), "");
    refused("65,535 nodes", &change(tree + 6, &[0xff; 2]), "");
    refused("a giant heap", &change(heap + 8, &[0xff; 8]), "symbol table");
    refused("narrow addresses", &change(13, &[4]), "addresses");
    refused("version", &change(8, &[9]), "superblock version 9");
    refused("base", &change(24, &[1]), "base address");
    for at in (0..WEIGHTS.len()).step_by(61) {
        refused("cut", &WEIGHTS[..at], "");
    }
    // Object headers that lie within each other's messages, with tens of thousands of messages each.
    let mut bytes = WEIGHTS.to_vec();
    bytes.resize(2 << 20, 0);
    let start = WEIGHTS.len().next_multiple_of(16);
    for k in 0..8usize {
        let header = [&[1, 0xff, 0xff, 0xff, 0, 0, 0, 0][..], &(1u32 << 20).to_le_bytes(), &[0; 4]].concat();
        bytes[start + 16 * k..start + 16 * k + 16].copy_from_slice(&header);
        let entry = table + 8 + 40 * k + 8;
        bytes[entry..entry + 8].copy_from_slice(&((start + 16 * k) as u64).to_le_bytes());
    }
    refused("overlapping headers", &bytes, "");
}

/// Fuzzer findings, each as the pickle of an archive.
#[test]
fn fuzzer_findings_stay_fixed() {
    // Lists that contain each other hundreds of thousands of times.
    refused("shared lists", &torch(include_bytes!("readers/found/shared_lists.pkl")), "the names");
}

/// Marsaglia's xorshift generator, used only to select what to break.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state as usize
}

/// 4,000 broken copies of each format: a few bytes changed, or a piece cut out, duplicated or moved. None may panic or
/// take long. Most are refused, and some are still valid.
#[test]
fn broken_copies_never_panic() {
    let mut safetensors = TensorFile::from_bytes("npz", ARRAYS).expect("read");
    safetensors.metadata.insert("key".into(), "value".into());
    let safetensors = safetensors.to_bytes().expect("bytes");
    // Only the pickle is broken here: in a broken archive, the checksum would hide changes to the pickle.
    let start = STATE.windows(5).position(|w| w == b"\x80\x02}q\0").expect("the pickle");
    let pickle = &STATE[start..start + STATE[start..].windows(2).rposition(|w| w == b"u.").expect("its end") + 2];
    for (name, seed) in [
        ("npz", ARRAYS),
        ("compressed", COMPRESSED),
        ("npy", FORTRAN),
        ("pt", STATE),
        ("legacy", LEGACY),
        ("safetensors", &safetensors),
        ("pickle", pickle),
        ("keras", KERAS),
        ("weights", WEIGHTS),
        ("hdf5", HDF5),
    ] {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        let mut errors = 0;
        for _ in 0..4000 {
            let mut bytes = seed.to_vec();
            for _ in 0..1 + next(&mut state) % 4 {
                let (at, value) = (next(&mut state) % bytes.len(), next(&mut state) as u8);
                let other = at + next(&mut state) % (bytes.len() - at).min(64);
                match next(&mut state) % 8 {
                    0..=2 => bytes[at] = value,
                    3 | 4 => bytes[at] ^= 1 << (value % 8),
                    5 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][value as usize % 5],
                    6 if bytes.len() > 80 => drop(bytes.drain(at..other)),
                    _ => drop(bytes.splice(at..at, seed[at.min(seed.len() - 1)..other.min(seed.len())].to_vec())),
                }
            }
            if name == "pickle" {
                bytes = torch(&bytes);
            }
            errors += read(name, &bytes).is_err() as usize;
        }
        assert!(errors > 1000, "{name}: only {errors} of 4000 were refused");
    }
}

#[test]
fn safetensors_headers_are_read_as_by_the_safetensors_crate() {
    let mut file = TensorFile::default();
    file.metadata.insert("key \"quoted\"\n".into(), "ünïcode \\ 𝄞".into());
    file.insert("b", &[2, 1], vec![1.0, f32::NAN]);
    file.insert("a.\u{1}", &[0, 3], vec![]);
    file.insert("c", &[], vec![-0.5]);
    let good = file.to_bytes().expect("bytes");
    let mut rng = wgru::Rng::new(7);
    let (mut taken, mut refused) = (0, 0);
    for round in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..round % 3 {
            // Most damage hits the header's text, and often leaves it valid JSON.
            let at = rng.below(bytes.len());
            match rng.below(4) {
                0 => bytes[at] = b"0123456789,:[]{}\"tF \\"[rng.below(21)],
                1 => bytes[at] ^= 1 << rng.below(8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"0123456789,:[]{}\"tF \\"[rng.below(21)]),
            }
        }
        let (ours, theirs) = (read("damaged", &bytes), safetensors::SafeTensors::deserialize(&bytes));
        match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) => {
                taken += 1;
                assert_eq!(ours.names().count(), theirs.len());
                for name in ours.names() {
                    let view = theirs.tensor(name).expect("a tensor of this name");
                    assert_eq!(ours.get(name).expect("there").0, view.shape());
                }
            }
            (Err(_), Err(_)) => refused += 1,
            // Refused only by this crate: values that f32 cannot hold, a duplicate key, and a header that starts with a
            // space.
            (Err(error), Ok(_)) => {
                let words = ["expected numbers", "twice", "not a safetensors file"];
                assert!(words.iter().any(|word| error.to_string().contains(word)), "{error}");
            }
            (Ok(_), Err(error)) => panic!("{error}: {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
    assert!(taken > 6000 && refused > 6000, "{taken} taken, {refused} refused");
}
