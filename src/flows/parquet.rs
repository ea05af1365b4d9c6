//! One Parquet file, written row by row.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use super::columns::{Cell, Cells, Known, Row};

/// Rows that are in memory before they are written together.
const GROUP: usize = 65_536;

/// The values of a column, for a group of rows.
enum Values {
    Long(Vec<i64>),
    Short(Vec<i32>),
    Text(Vec<ByteArray>),
}

impl Values {
    fn write(&self, column: &mut SerializedColumnWriter<'_>) -> Result<usize, ParquetError> {
        match self {
            Self::Long(values) => column.typed::<Int64Type>().write_batch(values, None, None),
            Self::Short(values) => column.typed::<Int32Type>().write_batch(values, None, None),
            Self::Text(values) => column.typed::<ByteArrayType>().write_batch(values, None, None),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Long(values) => values.clear(),
            Self::Short(values) => values.clear(),
            Self::Text(values) => values.clear(),
        }
    }
}

/// A file whose rows are of one table.
pub(super) struct File<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<Values>,
    ports: bool,
    rows: usize,
}

impl<W: Write + Send> File<W> {
    /// A file with the columns of these rows.
    pub(super) fn new<R: Row>(inner: W, ports: bool) -> Result<Self, ParquetError> {
        let mut schema = Schema { message: String::from("message rows {"), columns: Vec::new() };
        R::sample().cells(0, &Known::default(), ports, &mut schema);
        schema.message.push('}');
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("portlane ", env!("CARGO_PKG_VERSION")).to_owned());
        let message = Arc::new(parse_message_type(&schema.message)?);
        let writer = SerializedFileWriter::new(inner, message, Arc::new(properties.build()))?;
        Ok(Self { writer, columns: schema.columns, ports, rows: 0 })
    }

    pub(super) fn push<R: Row>(&mut self, start: u64, row: &R, known: &Known) -> Result<(), ParquetError> {
        row.cells(start, known, self.ports, &mut Filled { columns: self.columns.iter_mut() });
        self.rows += 1;
        if self.rows == GROUP { self.write_group() } else { Ok(()) }
    }

    /// Writes what is still in memory and the end of the file.
    pub(super) fn finish(mut self) -> Result<W, ParquetError> {
        if self.rows > 0 {
            self.write_group()?;
        }
        self.writer.into_inner()
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for values in &mut self.columns {
            let mut column = group.next_column()?.ok_or_else(|| ParquetError::General("too few columns".to_owned()))?;
            values.write(&mut column)?;
            column.close()?;
            values.clear();
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }
}

/// Learns columns from a row.
struct Schema {
    message: String,
    columns: Vec<Values>,
}

impl Cells for Schema {
    fn cell(&mut self, name: &'static str, cell: Cell<'_>) {
        let (kind, logical, values) = match cell {
            Cell::Time(_) => ("int64", "TIMESTAMP(MICROS,true)", Values::Long(Vec::new())),
            Cell::Count(_) => ("int64", "INTEGER(64,false)", Values::Long(Vec::new())),
            Cell::Id(_) => ("int64", "INTEGER(64,true)", Values::Long(Vec::new())),
            Cell::Small(_) => ("int32", "INTEGER(8,false)", Values::Short(Vec::new())),
            Cell::Port(_) => ("int32", "INTEGER(16,false)", Values::Short(Vec::new())),
            Cell::Address(_) | Cell::Text(_) => ("byte_array", "STRING", Values::Text(Vec::new())),
        };
        // To a text nothing fails.
        let _ = write!(self.message, " required {kind} {name} ({logical});");
        self.columns.push(values);
    }
}

/// Adds the cells of a row to the columns, one to each.
struct Filled<'a> {
    columns: std::slice::IterMut<'a, Values>,
}

impl Cells for Filled<'_> {
    fn cell(&mut self, _: &'static str, cell: Cell<'_>) {
        match (self.columns.next(), cell) {
            (Some(Values::Long(values)), Cell::Time(seconds)) => {
                values.push(i64::try_from(seconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX));
            }
            // An unsigned number is kept as the signed one of the same bits.
            (Some(Values::Long(values)), Cell::Count(count)) => values.push(count.cast_signed()),
            (Some(Values::Long(values)), Cell::Id(id)) => values.push(id),
            (Some(Values::Short(values)), Cell::Small(number)) => values.push(i32::from(number)),
            (Some(Values::Short(values)), Cell::Port(port)) => values.push(i32::from(port)),
            (Some(Values::Text(values)), Cell::Address(address)) => {
                values.push(ByteArray::from(address.to_string().into_bytes()));
            }
            (Some(Values::Text(values)), Cell::Text(text)) => values.push(ByteArray::from(text)),
            _ => unreachable!("all rows of a table have the columns of its sample"),
        }
    }
}
