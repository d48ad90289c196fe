//! The functions in DataFusion without a cluster.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{Net, device, lists, windows};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray as _, FixedSizeListArray, Float32Array, Int64Array, ListArray, RecordBatch,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int64Type};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::prelude::{SessionConfig, SessionContext};
use tempfile::TempDir;
use wgru::nn::{Module, RecurrentConfig};
use wgru::{Rng, Tensor};
use wgru_datafusion::{Error, ModelOptions, Models, query, register};

const STEPS: usize = 20;

/// Folder with `last.safetensors`, `sequence.safetensors` and others, and a context with it.
struct Setup {
    folder: TempDir,
    models: Models,
    context: SessionContext,
}

fn setup_with(config: SessionConfig) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    Net::default().save(1, &path("last.safetensors"));
    Net { is_last: false, ..Net::default() }.save(1, &path("sequence.safetensors"));
    Net { input: 3, output: 3, is_last: false, ..Net::default() }.save(2, &path("three.safetensors"));
    Net { output: 5, ..Net::default() }.save(3, &path("classes.safetensors"));
    Net { bidirectional: true, is_last: false, ..Net::default() }.save(4, &path("both.safetensors"));
    let models = Models::new(ModelOptions { folder: Some(folder.path().into()), ..ModelOptions::default() }).unwrap();
    let mut context = SessionContext::new_with_config(config);
    register(&mut context, &models).unwrap();
    Setup { folder, models, context }
}

fn setup() -> Setup {
    setup_with(SessionConfig::new())
}

impl Setup {
    /// Registers a table `t` with the columns `id` and `x`.
    fn table(&self, x: ArrayRef, partitions: usize) {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..x.len() as i64));
        let batch = RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("x", x, true)]).unwrap();
        let part = batch.num_rows().div_ceil(partitions).max(1);
        let slice = |k: usize| {
            batch.slice((k * part).min(batch.num_rows()), part.min(batch.num_rows().saturating_sub(k * part)))
        };
        let parts = (0..partitions).map(|k| vec![slice(k)]).collect();
        let table = MemTable::try_new(batch.schema(), parts).unwrap();
        self.context.deregister_table("t").unwrap();
        self.context.register_table("t", Arc::new(table)).unwrap();
    }

    async fn try_run(&self, sql: &str) -> Result<Vec<RecordBatch>, DataFusionError> {
        self.context.sql(sql).await?.collect().await
    }

    /// Returns the second column of a query in the order of `id`.
    async fn column(&self, expression: &str) -> ArrayRef {
        let batches = self.try_run(&format!("SELECT id, {expression} FROM t ORDER BY id")).await.unwrap();
        let columns: Vec<&dyn Array> = batches.iter().map(|batch| &**batch.column(1)).collect();
        datafusion::arrow::compute::concat(&columns).unwrap()
    }

    async fn forecasts(&self, model: &str) -> Vec<Option<Vec<u32>>> {
        let column = self.column(&format!("gru_forecast('{model}', x)")).await;
        column
            .as_list::<i32>()
            .iter()
            .map(|row| row.map(|row| bits(row.as_primitive::<Float32Type>().values())))
            .collect()
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[tokio::test]
async fn forecasts_are_the_bits_of_the_library() {
    let setup = setup();
    for rows in [1, 5, 8, 63, 64, 65, 200] {
        let x = windows(0, rows, STEPS);
        setup.table(Arc::new(lists(x.clone(), vec![STEPS; rows])), 1);
        let device = device();
        let model = Net::default().build(&device, 1);
        let x = Tensor::from_slice(&device, &x, &[rows, STEPS, 1]).unwrap();
        let want = model.forward(&x).unwrap().read_blocking().unwrap();
        let got = setup.forecasts("last.safetensors").await;
        assert_eq!(got.len(), rows);
        // The library's own result depends on the batch only below a whole group of 8 rows.
        let whole = rows / 8 * 8;
        for (row, (got, want)) in got.iter().zip(&want).enumerate().take(whole) {
            assert_eq!(got.as_deref(), Some(&[want.to_bits()][..]), "row {row} of {rows}");
        }
        for (row, (got, want)) in got.iter().zip(&want).enumerate() {
            let got = f32::from_bits(got.as_ref().unwrap()[0]);
            assert!((got - want).abs() <= 1e-6, "row {row} of {rows}: {got}, {want}");
        }
    }
}

#[tokio::test]
async fn results_depend_on_neither_batches_nor_partitions() {
    let mut seen: Vec<Vec<Option<Vec<u32>>>> = Vec::new();
    // Series of unequal lengths, so that blocks mix rows.
    let lengths: Vec<usize> = (0..150).map(|k| 2 + k * 7 % 5).collect();
    let values = windows(0, 1, lengths.iter().sum());
    for (batch, partitions) in [(8192, 1), (1, 1), (7, 3), (64, 2), (100, 5)] {
        let setup = setup_with(SessionConfig::new().with_batch_size(batch).with_target_partitions(partitions));
        setup.table(Arc::new(lists(values.clone(), lengths.iter().copied())), partitions);
        seen.push(setup.forecasts("last.safetensors").await);
    }
    assert_eq!(seen[0].len(), 150);
    assert!(seen.iter().all(|other| *other == seen[0]));
}

#[tokio::test]
async fn models_of_all_steps_and_of_the_last_agree() {
    let setup = setup();
    setup.table(Arc::new(lists(windows(0, 16, STEPS), vec![STEPS; 16])), 1);
    let (last, sequence) = (setup.forecasts("last.safetensors").await, setup.forecasts("sequence.safetensors").await);
    for (last, sequence) in last.iter().zip(&sequence) {
        let [last, sequence] = [last, sequence].map(|row| f32::from_bits(row.as_ref().unwrap()[0]));
        assert!((last - sequence).abs() <= 1e-6);
    }
}

#[tokio::test]
async fn scores_are_the_root_mean_square_of_the_errors() {
    let setup = setup();
    let (rows, x) = (8, windows(0, 8, STEPS));
    setup.table(Arc::new(lists(x.clone(), vec![STEPS; rows])), 1);
    let device = device();
    let module = Net { is_last: false, ..Net::default() }.build(&device, 1);
    let all = Tensor::from_slice(&device, &x, &[rows, STEPS, 1]).unwrap();
    let y = module.forward(&all).unwrap().read_blocking().unwrap();
    let square = |a: f32, b: f32| (f64::from(a) - f64::from(b)).powi(2);
    let scores = setup.column("gru_score('sequence.safetensors', x)").await;
    for (row, got) in scores.as_primitive::<Float64Type>().values().iter().enumerate() {
        let at = row * STEPS;
        let sum: f64 = (0..STEPS - 1).map(|t| square(y[at + t], x[at + t + 1])).sum();
        let want = (sum / (STEPS - 1) as f64).sqrt();
        assert!((got - want).abs() <= 1e-12, "{got}, {want}");
    }
    // A model with one output predicts the last step from those before it.
    let scores = setup.column("gru_score('last.safetensors', x)").await;
    for (row, got) in scores.as_primitive::<Float64Type>().values().iter().enumerate() {
        let at = row * STEPS;
        let want = (f64::from(y[at + STEPS - 2]) - f64::from(x[at + STEPS - 1])).abs();
        assert!((got - want).abs() <= 1e-6, "{got}, {want}");
    }
}

#[tokio::test]
async fn classes_are_the_greatest_outputs() {
    let setup = setup();
    let (rows, x) = (64, windows(0, 64, STEPS));
    setup.table(Arc::new(lists(x.clone(), vec![STEPS; rows])), 1);
    let device = device();
    let module = Net { output: 5, ..Net::default() }.build(&device, 3);
    let x = Tensor::from_slice(&device, &x, &[rows, STEPS, 1]).unwrap();
    let y = module.forward(&x).unwrap().read_blocking().unwrap();
    let greatest = |y: &[f32]| (0..5).rev().max_by(|&a, &b| y[a].total_cmp(&y[b])).unwrap() as i64;
    let want: Vec<i64> = y.chunks(5).map(greatest).collect();
    let got = setup.column("gru_classify('classes.safetensors', x)").await;
    assert_eq!(got.as_primitive::<Int64Type>().values()[..], want[..]);
}

#[tokio::test]
async fn nulls_give_null_and_nan_gives_nan() {
    let setup = setup();
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let values = Float32Array::from(vec![Some(0.1), Some(0.2), Some(0.3), None, Some(f32::NAN), Some(0.2), Some(0.1)]);
    let nulls = NullBuffer::from(vec![true, false, true, true, true]);
    let x = ListArray::new(item, OffsetBuffer::from_lengths([2, 0, 2, 2, 1]), Arc::new(values), Some(nulls));
    // The rows are: numbers, null, numbers with a null, NaN, one number.
    setup.table(Arc::new(x), 1);
    let forecasts = setup.forecasts("last.safetensors").await;
    let numbers: Vec<Option<f32>> = forecasts.iter().map(|row| row.as_ref().map(|y| f32::from_bits(y[0]))).collect();
    assert!(numbers[0].unwrap().is_finite() && numbers[4].unwrap().is_finite());
    assert!(numbers[1].is_none() && numbers[2].is_none() && numbers[3].unwrap().is_nan());
    let scores = setup.column("CASE WHEN id < 4 THEN gru_score('last.safetensors', x) END").await;
    let scores = scores.as_primitive::<Float64Type>();
    assert!(scores.value(0).is_finite() && scores.is_null(1) && scores.is_null(2) && scores.value(3).is_nan());
    let classes = setup.column("gru_classify('classes.safetensors', x)").await;
    let valid: Vec<bool> = (0..5).map(|row| classes.is_valid(row)).collect();
    assert_eq!(valid, [true, false, false, false, true]);
    let none = setup.column("gru_forecast(NULL, x)").await;
    assert_eq!(none.null_count(), 5);
    let constant = setup.column("gru_forecast('last.safetensors', [0.1, 0.2])").await;
    assert_eq!(
        bits(constant.as_list::<i32>().value(4).as_primitive::<Float32Type>().values()),
        *forecasts[0].as_ref().unwrap()
    );
}

#[tokio::test]
async fn series_may_have_any_list_and_number_type() {
    let setup = setup();
    let (rows, width) = (9, 3);
    let values: Vec<f32> = windows(0, rows, STEPS * width).iter().map(|v| (v * 8.0).round()).collect();
    let leaf: ArrayRef = Arc::new(Float32Array::from(values.clone()));
    let float = Arc::new(Field::new_list_field(DataType::Float32, true));
    let steps =
        ListArray::new(float.clone(), OffsetBuffer::from_lengths(vec![width; rows * STEPS]), leaf.clone(), None);
    let step = Arc::new(Field::new_list_field(steps.data_type().clone(), true));
    let nested: ArrayRef =
        Arc::new(ListArray::new(step, OffsetBuffer::from_lengths(vec![STEPS; rows]), Arc::new(steps), None));
    let fixed = FixedSizeListArray::new(float, width as i32, leaf, None);
    let step = Arc::new(Field::new_list_field(fixed.data_type().clone(), true));
    let fixed: ArrayRef = Arc::new(FixedSizeListArray::new(step, STEPS as i32, Arc::new(fixed), None));
    let list = |item: DataType| DataType::List(Arc::new(Field::new_list_field(item, true)));
    let large = |item: DataType| DataType::LargeList(Arc::new(Field::new_list_field(item, true)));
    let mut seen = Vec::new();
    for column in [
        nested.clone(),
        fixed,
        cast(&nested, &list(list(DataType::Float64))).unwrap(),
        cast(&nested, &list(list(DataType::Int32))).unwrap(),
        cast(&nested, &large(large(DataType::Float32))).unwrap(),
        // Rows that do not start with the first value.
        nested.slice(2, rows - 2),
    ] {
        setup.table(column, 1);
        seen.push(setup.forecasts("three.safetensors").await);
    }
    assert_eq!((seen[0].len(), seen[0][0].as_ref().unwrap().len()), (rows, 3));
    assert!(seen[..5].iter().all(|other| *other == seen[0]));
    assert_eq!(seen[5], seen[0][2..]);
}

#[tokio::test]
async fn sliding_windows_are_lists_of_array_agg() {
    let setup = setup();
    let (count, size) = (40, 6);
    let values = windows(0, 1, count);
    let x: ArrayRef = Arc::new(Float32Array::from(values.clone()));
    setup.table(x, 1);
    let frame = format!("OVER (ORDER BY id ROWS {} PRECEDING)", size - 1);
    let sql = format!(
        "SELECT id, gru_forecast('last.safetensors', w) FROM (SELECT id, array_agg(x) {frame} AS w FROM t) \
         WHERE cardinality(w) = {size} ORDER BY id"
    );
    let batches = setup.try_run(&sql).await.unwrap();
    let got: Vec<Vec<u32>> = common::rows(&batches).into_iter().map(|(_, y)| y).collect();
    let all: Vec<f32> = (0..=count - size).flat_map(|k| values[k..k + size].to_vec()).collect();
    setup.table(Arc::new(lists(all, vec![size; count - size + 1])), 1);
    let want: Vec<Vec<u32>> = setup.forecasts("last.safetensors").await.into_iter().map(Option::unwrap).collect();
    assert_eq!(got, want);
}

#[tokio::test]
async fn wrong_arguments_are_named() {
    let setup = setup();
    setup.table(Arc::new(lists(windows(0, 4, 4), [4, 3, 1, 8])), 1);
    let planning = [
        (
            "gru_forecast('last.safetensors')",
            ["gru_forecast: arguments", "1 arguments", "gru_forecast('model', series)"],
        ),
        ("gru_forecast(id, x)", ["gru_forecast: model", "Int64", "UNION ALL"]),
        ("gru_score('last.safetensors', id)", ["gru_score: series", "Int64", "array_agg"]),
        ("gru_forecast('none.safetensors', x)", ["gru_forecast: model", "below the folder", "copy the file"]),
        ("gru_forecast('../last.safetensors', x)", ["gru_forecast: model", "below the folder", "register it"]),
        ("gru_forecast('/etc/passwd', x)", ["gru_forecast: model", "below the folder", "register it"]),
        ("gru_forecast('three.safetensors', x)", ["gru_forecast: series", "lists of 3 numbers", "make_array"]),
        ("gru_score('classes.safetensors', x)", ["gru_score: model", "1 outputs", "got 5 outputs"]),
        ("gru_score('both.safetensors', x)", ["gru_score: model", "backward", "forward"]),
        ("gru_forecast('both.safetensors', x)", ["gru_forecast: model", "backward", "LastState"]),
        ("gru_forecast('last.safetensors@sha256:12', x)", ["gru_forecast: model", "hexadecimal", "sha256sum"]),
        (
            "gru_forecast('last.safetensors@sha256:0000000000', x)",
            ["gru_forecast: model", "SHA-256", "copy the same file"],
        ),
    ];
    for (call, parts) in planning {
        let error = setup.context.sql(&format!("SELECT {call} FROM t")).await.map(|_| ()).unwrap_err();
        check(call, error, parts);
    }
    let running = [
        ("gru_score('last.safetensors', x)", ["gru_score: series", "at least 2 steps", "cardinality"]),
        ("gru_forecast('three.safetensors', [x, x])", ["gru_forecast: series", "lists of 3 numbers", "make_array"]),
    ];
    for (call, parts) in running {
        let error = setup.try_run(&format!("SELECT {call} FROM t")).await.unwrap_err();
        check(call, error, parts);
    }
}

/// Checks that an error is one of this crate, and names these parts.
fn check(call: &str, error: DataFusionError, parts: [&str; 3]) {
    let text = error.to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "{call}: {text}");
    let found = error.find_root().to_string();
    let mut source: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = source {
        if error.downcast_ref::<Error>().is_some() || found.contains("gru_") {
            return;
        }
        source = error.source();
    }
    panic!("{call}: no error of this crate: {text}");
}

#[cfg(unix)]
#[tokio::test]
async fn links_out_of_the_folder_are_refused() {
    let (setup, outside) = (setup(), tempfile::tempdir().unwrap());
    let target = outside.path().join("outside.safetensors");
    Net::default().save(1, &target);
    std::os::unix::fs::symlink(&target, setup.folder.path().join("link.safetensors")).unwrap();
    setup.table(Arc::new(lists(windows(0, 1, 4), [4])), 1);
    let error = setup.try_run("SELECT gru_forecast('link.safetensors', x) FROM t").await.unwrap_err();
    check("link", error, ["gru_forecast: model", "below the folder", "register it"]);
    setup.models.register_file("outside", &target).unwrap();
    setup.try_run("SELECT gru_forecast('outside', x) FROM t").await.unwrap();
}

#[tokio::test]
async fn registered_modules_and_files_give_the_same_bits() {
    let setup = setup();
    setup.table(Arc::new(lists(windows(0, 5, STEPS), vec![STEPS; 5])), 1);
    setup.models.register("module", Net::default().build(setup.models.device(), 1)).unwrap();
    let want = setup.forecasts("last.safetensors").await;
    assert_eq!(setup.forecasts("module").await, want);
    let bytes = std::fs::read(setup.folder.path().join("last.safetensors")).unwrap();
    let hex: String = <sha2::Sha256 as sha2::Digest>::digest(bytes).iter().map(|b| format!("{b:02X}")).collect();
    assert_eq!(setup.forecasts(&format!("last.safetensors@sha256:{hex}")).await, want);
}

#[tokio::test]
async fn changed_files_are_read_again() {
    let setup = setup();
    setup.table(Arc::new(lists(windows(0, 5, STEPS), vec![STEPS; 5])), 1);
    let before = setup.forecasts("last.safetensors").await;
    // Another length, because times of files may be coarse.
    Net { hidden: 7, ..Net::default() }.save(9, &setup.folder.path().join("last.safetensors"));
    assert_ne!(setup.forecasts("last.safetensors").await, before);
}

#[tokio::test]
async fn layers_whose_first_axis_is_the_step_take_the_same_series() {
    let setup = setup();
    let layer = RecurrentConfig::gru(1, 4).build(&device(), &mut Rng::new(6)).unwrap();
    assert!(!layer.config().batch_first);
    wgru::io::save_recurrent_blocking(&layer, setup.folder.path().join("layer.safetensors")).unwrap();
    let (rows, x) = (3, windows(0, 3, STEPS));
    setup.table(Arc::new(lists(x.clone(), vec![STEPS; rows])), 1);
    let got = setup.forecasts("layer.safetensors").await;
    for (row, got) in got.iter().enumerate() {
        let y = run_layer(&layer, &x[row * STEPS..][..STEPS]);
        let got: Vec<f32> = got.as_ref().unwrap().iter().map(|bits| f32::from_bits(*bits)).collect();
        assert_eq!(got.len(), 4);
        assert!(got.iter().zip(&y[y.len() - 4..]).all(|(got, want)| (got - want).abs() <= 1e-6));
    }
}

/// Runs one series through a layer.
fn run_layer(layer: &dyn Module, x: &[f32]) -> Vec<f32> {
    let device = layer.parameters()[0].1.device().clone();
    let x = Tensor::from_slice(&device, x, &[x.len(), 1, 1]).unwrap();
    layer.forward(&x).unwrap().read_blocking().unwrap()
}

#[tokio::test]
async fn files_are_complete_or_absent() {
    let setup = setup();
    setup.table(Arc::new(lists(windows(0, 30, STEPS), vec![STEPS; 30])), 1);
    let out = setup.folder.path().join("out.parquet");
    let write = async |sql: &str, out: &Path| {
        query::run_to_parquet(query::plan(&setup.context, sql).await.unwrap(), out, |_| ()).await
    };
    let sql = "SELECT id, gru_forecast('last.safetensors', x) FROM t";
    assert_eq!(write(sql, &out).await.unwrap(), 30);
    let before = common::rows(&common::read(&out));
    assert_eq!(before.len(), 30);
    let files = || std::fs::read_dir(setup.folder.path()).unwrap().count();
    let count = files();
    // Division by zero fails while the query runs.
    let failing = "SELECT id, gru_forecast('last.safetensors', x), 1 / (id - id) FROM t";
    assert!(matches!(write(failing, &out).await.unwrap_err(), Error::Query(_)));
    assert_eq!((common::rows(&common::read(&out)), files()), (before, count));
    let nowhere = setup.folder.path().join("none/out.parquet");
    assert!(matches!(write(sql, &nowhere).await.unwrap_err(), Error::Io { .. }));
}

#[tokio::test]
async fn only_queries_run() {
    let setup = setup();
    let statement = "COPY (SELECT 1) TO '/tmp/wgru-must-not-exist.parquet'";
    assert!(query::plan(&setup.context, statement).await.is_err());
    assert!(query::plan(&setup.context, "CREATE TABLE a AS SELECT 1").await.is_err());
    query::plan(&setup.context, "SELECT 1").await.unwrap();
}
