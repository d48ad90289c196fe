//! `g2p_en`: an encoder and a decoder GRU, on 200 words with the package's own results.

use wgru::Device;

use crate::g2p::Model;

/// The model, and words with the model's expected results.
fn load(device: &Device) -> Option<(Model, Vec<(String, String)>)> {
    let folder = crate::model("g2p_en")?;
    let table = std::fs::read_to_string(folder.join("expected_predictions.tsv")).expect("the answers");
    let row = |line: &str| {
        let (word, spoken) = line.split_once('\t').expect("word, tab, phonemes");
        (word.to_string(), spoken.trim().to_string())
    };
    Some((Model::open(device, &folder).expect("the model"), table.lines().map(row).collect()))
}

fn check(model: &Model, rows: &[(String, String)]) {
    let words: Vec<&str> = rows.iter().map(|(word, _)| word.as_str()).collect();
    let got = model.pronounce(&words).expect("spoken");
    for ((word, want), got) in rows.iter().zip(got) {
        assert_eq!(got.join(" "), *want, "{word}");
    }
}

#[test]
fn all_words_are_spelled_exactly_at_once_and_one_by_one() {
    let Some((model, rows)) = load(&Device::cpu()) else { return };
    assert_eq!(rows.len(), 200);
    check(&model, &rows);
    rows.iter().for_each(|row| check(&model, std::slice::from_ref(row)));
}

#[test]
#[cfg(feature = "gpu")]
fn words_are_spelled_exactly_on_the_gpu() {
    let Some(device) = crate::common::gpu() else { return eprintln!("SKIPPED: no adapter") };
    let Some((model, rows)) = load(&device) else { return };
    check(&model, &rows[..3]);
}
