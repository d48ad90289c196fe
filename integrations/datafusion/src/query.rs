//! Queries whose result is written to a Parquet file.

use std::path::Path;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::{DataFusionError, Result as QueryResult};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::prelude::{DataFrame, ParquetReadOptions, SQLOptions, SessionConfig, SessionContext};
use futures::StreamExt as _;
use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// Returns the configuration of a context that splits tables into this many partitions. Small files are split, too,
/// because running a model takes longer than reading its input.
pub fn config(partitions: usize) -> SessionConfig {
    split(SessionConfig::new(), partitions)
}

/// Sets the number of partitions, also of small files.
pub(crate) fn split(config: SessionConfig, partitions: usize) -> SessionConfig {
    config.with_target_partitions(partitions).with_repartition_file_min_size(0)
}

/// Registers a Parquet file, or a folder of them, as a table.
///
/// # Errors
/// [`Error::Io`] if it does not exist; errors from reading its schema.
pub async fn register_table(context: &SessionContext, name: &str, path: &Path) -> Result<()> {
    // Executors of a cluster run in other folders.
    let path = std::fs::canonicalize(path).map_err(Error::io(path))?;
    let url = path.to_str().ok_or_else(|| Error::Argument {
        function: "sql",
        argument: "table",
        expected: "a path in UTF-8".into(),
        got: path.display().to_string(),
        help: "rename the file".into(),
    })?;
    let extension = path.extension().and_then(|end| end.to_str()).map(|end| format!(".{end}"));
    let options = ParquetReadOptions::default().file_extension(extension.as_deref().unwrap_or(".parquet"));
    Ok(context.register_parquet(name, url, options).await?)
}

/// Plans a query. Statements that change anything are refused.
///
/// # Errors
/// Errors from planning, such as those of the functions' arguments.
pub async fn plan(context: &SessionContext, sql: &str) -> Result<DataFrame> {
    let only_queries = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    Ok(context.sql_with_options(sql, only_queries).await?)
}

/// Returns the number of rows of a query's result if statistics of its tables tell it.
pub async fn known_rows(query: &DataFrame) -> Option<u64> {
    let plan = query.create_physical_plan().await.ok()?;
    let statistics = StatisticsContext::new().compute(&*plan, &StatisticsArgs::new()).ok()?;
    statistics.num_rows.get_value().map(|rows| *rows as u64)
}

/// Writes the batches of a stream to a Parquet file, and calls `seen` with the number of rows so far after each. On an
/// error, or if the future is dropped, there is no file, and one that existed is unchanged.
///
/// # Errors
/// [`Error::Io`]; errors of the stream.
pub async fn write_parquet(
    mut batches: SendableRecordBatchStream,
    path: &Path,
    mut seen: impl FnMut(u64),
) -> Result<u64> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder).map_err(Error::io(folder))?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let writer = ArrowWriter::try_new(&mut file, batches.schema(), Some(properties));
    let mut writer = writer.map_err(parquet)?;
    let mut rows = 0;
    while let Some(batch) = batches.next().await {
        let batch: RecordBatch = batch?;
        writer.write(&batch).map_err(parquet)?;
        rows += batch.num_rows() as u64;
        seen(rows);
    }
    writer.close().map_err(parquet)?;
    keep(file, path)?;
    Ok(rows)
}

/// Gives a complete file its name.
fn keep(file: NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all().map_err(Error::io(path))?;
    // Temporary files are private. Others get the permissions of new files.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let usual = std::fs::metadata(path).map(|old| old.permissions().mode() & 0o777).unwrap_or(0o644);
        let permissions = std::fs::Permissions::from_mode(usual);
        file.as_file().set_permissions(permissions).map_err(Error::io(path))?;
    }
    file.persist(path).map(drop).map_err(|failed| Error::io(path)(failed.error))
}

fn parquet(error: ParquetError) -> Error {
    DataFusionError::from(error).into()
}

/// Runs a query in this process.
///
/// # Errors
/// Errors of the query and of [`write_parquet`].
pub async fn run_to_parquet(query: DataFrame, path: &Path, seen: impl FnMut(u64)) -> Result<u64> {
    let stream: QueryResult<_> = query.execute_stream().await;
    write_parquet(stream?, path, seen).await
}
