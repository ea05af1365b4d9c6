//! What a store of flow metrics holds, read by the crate that wrote it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

pub(crate) type Row = BTreeMap<String, Field>;

/// All rows of a table; `vtap_flow.1s`, for example.
pub(crate) fn rows(store: &Path, table: &str) -> Vec<Row> {
    let files = fs::read_dir(store.join(table)).unwrap().map(|entry| entry.unwrap().path());
    let mut rows = Vec::new();
    for file in files {
        assert_eq!(file.extension().unwrap(), "parquet");
        let reader = SerializedFileReader::new(fs::File::open(file).unwrap()).unwrap();
        rows.extend(reader.get_row_iter(None).unwrap().map(|row| row.unwrap().into_columns().into_iter().collect()));
    }
    rows
}

pub(crate) fn number(row: &Row, name: &str) -> u64 {
    match row[name] {
        Field::ULong(number) => number,
        Field::UShort(number) => number.into(),
        Field::UByte(number) => number.into(),
        Field::TimestampMicros(time) => u64::try_from(time).unwrap() / 1_000_000,
        ref other => panic!("{name} is {other:?}"),
    }
}
