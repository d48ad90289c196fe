//! Models, tables and digests for tests and the benchmark.
#![allow(dead_code, missing_docs, reason = "each program uses a part")]

pub mod cluster;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray as _, Float32Array, Int64Array, ListArray, RecordBatch};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Float32Type, Int64Type, Schema};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::file::properties::WriterProperties;
use futures::executor::block_on;
use sha2::{Digest as _, Sha256};
use wgru::io::{self, TensorFile};
use wgru::nn::{LastState, Linear, RecurrentConfig, Sequential};
use wgru::{CpuOptions, Device, Rng};

/// Rows of a row group, and so of the smallest part of a file that a partition reads.
pub const ROW_GROUP: usize = 4096;

/// Returns a device that computes on the calling thread.
pub fn device() -> Device {
    Device::cpu_with(CpuOptions { threads: Some(1), ..CpuOptions::default() }).unwrap()
}

/// Layers of a network.
#[derive(Clone, Copy)]
pub struct Net {
    pub input: usize,
    pub hidden: usize,
    pub output: usize,
    /// Whether the network has one output, that of the last step.
    pub is_last: bool,
    pub bidirectional: bool,
}

impl Default for Net {
    fn default() -> Self {
        Self { input: 1, hidden: 16, output: 1, is_last: true, bidirectional: false }
    }
}

impl Net {
    fn layers(self, device: &Device, seed: u64) -> (wgru::nn::Recurrent, LastState, Linear) {
        let mut rng = Rng::new(seed);
        let bidirectional = self.bidirectional;
        let config =
            RecurrentConfig { batch_first: true, bidirectional, ..RecurrentConfig::gru(self.input, self.hidden) };
        let width = self.hidden * (1 + usize::from(bidirectional));
        let gru = config.build(device, &mut rng).unwrap();
        let head = Linear::new(device, width, self.output, true, &mut rng).unwrap();
        (gru, LastState { batch_first: true, bidirectional, reverse: false }, head)
    }

    /// Builds the network.
    pub fn build(self, device: &Device, seed: u64) -> Sequential {
        let (gru, last, head) = self.layers(device, seed);
        let all = Sequential::new().push("gru", gru);
        if self.is_last { all.push("last", last).push("head", head) } else { all.push("head", head) }
    }

    /// Saves the same network as the Python package does.
    pub fn save(self, seed: u64, path: &Path) {
        let (gru, _, head) = self.layers(&device(), seed);
        let mut file = TensorFile::default();
        let parts = [
            ("gru", block_on(io::recurrent_to_file(&gru)).unwrap()),
            ("head", block_on(io::parameters_to_file(&head)).unwrap()),
        ];
        for (name, part) in &parts {
            for tensor in part.names() {
                let (dims, values) = part.get(tensor).unwrap();
                file.insert(&format!("{name}.{tensor}"), dims, values.to_vec());
            }
            file.metadata.extend(part.metadata.iter().map(|(key, text)| (format!("{name}.{key}"), text.clone())));
        }
        let layers = if self.is_last { "gru last head" } else { "gru head" };
        let metadata = [
            ("kind", "wgru-sequential"),
            ("layers", layers),
            ("gru.type", "recurrent"),
            ("last.type", "last_state"),
            ("head.type", "linear"),
        ];
        file.metadata.extend(metadata.map(|(key, text)| (key.to_string(), text.to_string())));
        file.save(path).unwrap();
    }
}

/// Returns the values of `rows` windows, the first of which has the number `first`: sines with noise.
pub fn windows(first: usize, rows: usize, steps: usize) -> Vec<f32> {
    let window = |row: usize| {
        let mut rng = Rng::new(row as u64);
        let (rate, phase) = (rng.uniform(0.05, 0.6), rng.uniform(0.0, 6.0));
        (0..steps).map(move |t| (rate * t as f32 + phase).sin() + rng.uniform(-0.1, 0.1)).collect::<Vec<f32>>()
    };
    (first..first + rows).flat_map(window).collect()
}

/// Returns a column of lists.
pub fn lists(values: Vec<f32>, lengths: impl IntoIterator<Item = usize>) -> ListArray {
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    ListArray::new(item, OffsetBuffer::from_lengths(lengths), Arc::new(Float32Array::from(values)), None)
}

/// Writes a table of windows: `id`, `x`.
pub fn write_windows(path: &Path, rows: usize, steps: usize) {
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let fields = vec![Field::new("id", DataType::Int64, false), Field::new("x", DataType::List(item), false)];
    let schema = Arc::new(Schema::new(fields));
    // Random values do not repeat, so a dictionary only takes time.
    let properties =
        WriterProperties::builder().set_dictionary_enabled(false).set_max_row_group_row_count(Some(ROW_GROUP));
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties.build())).unwrap();
    for first in (0..rows).step_by(ROW_GROUP) {
        let count = ROW_GROUP.min(rows - first);
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values((first..first + count).map(|id| id as i64)));
        let x: ArrayRef = Arc::new(lists(windows(first, count, steps), std::iter::repeat_n(steps, count)));
        writer.write(&RecordBatch::try_new(schema.clone(), vec![ids, x]).unwrap()).unwrap();
    }
    writer.close().unwrap();
}

/// Returns the batches of a file.
pub fn read(path: &Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    reader.map(|batch| batch.unwrap()).collect()
}

/// Returns the bits of the rows of a table `id`, `y`, in the order of `id`.
pub fn rows(batches: &[RecordBatch]) -> Vec<(i64, Vec<u32>)> {
    let of_batch = |batch: &RecordBatch| {
        let (ids, y) = (batch.column(0).as_primitive::<Int64Type>().clone(), batch.column(1).as_list::<i32>().clone());
        let bits = move |row| y.value(row).as_primitive::<Float32Type>().values().iter().map(|v| v.to_bits()).collect();
        (0..batch.num_rows()).map(|row| (ids.value(row), bits(row))).collect::<Vec<_>>()
    };
    let mut rows: Vec<(i64, Vec<u32>)> = batches.iter().flat_map(of_batch).collect();
    rows.sort_unstable();
    rows
}

/// Returns the SHA-256 of rows.
pub fn digest(rows: &[(i64, Vec<u32>)]) -> String {
    assert!(!rows.is_empty(), "a digest of nothing");
    let mut hash = Sha256::new();
    for (id, bits) in rows {
        hash.update(id.to_le_bytes());
        bits.iter().for_each(|bits| hash.update(bits.to_le_bytes()));
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
