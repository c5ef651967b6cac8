//! The added columns of a row group, encoded as a Parquet file of their own, from which their chunks are copied.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::parquet::footer::MAGIC;
use crate::parquet::thrift::Struct;

/// The added columns of one row group.
pub(crate) struct AddedFile {
    pub bytes: Bytes,
    pub footer: Struct,
}

/// Encodes added columns.
pub(crate) struct AddedWriter(ArrowWriter<Vec<u8>>);

impl AddedWriter {
    /// `codec` is the number that the format gives a codec.
    pub fn new(schema: &SchemaRef, codec: Option<i64>, has_page_index: bool) -> Result<Self, ParquetError> {
        let statistics = if has_page_index { EnabledStatistics::Page } else { EnabledStatistics::Chunk };
        let properties = WriterProperties::builder()
            .set_compression(compression(codec))
            .set_max_row_group_row_count(None)
            .set_max_row_group_bytes(None)
            .set_statistics_enabled(statistics)
            .set_offset_index_disabled(!has_page_index)
            .build();
        Ok(Self(ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))?))
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        self.0.write(batch)
    }

    pub fn finish(self) -> Result<AddedFile, ParquetError> {
        let bytes = Bytes::from(self.0.into_inner()?);
        // The file ends with the length of the footer, and with the magic number.
        let tail = bytes.len() - MAGIC.len();
        let length = bytes[tail - 4..tail].iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let footer = Struct::read(&bytes.slice(tail - 4 - length..tail - 4));
        let (footer, _) = footer.ok_or_else(|| ParquetError::General("the footer of added columns".into()))?;
        Ok(AddedFile { bytes, footer })
    }
}

fn compression(codec: Option<i64>) -> Compression {
    match codec {
        Some(1) => Compression::SNAPPY,
        Some(2) => Compression::GZIP(parquet::basic::GzipLevel::default()),
        Some(4) => Compression::BROTLI(parquet::basic::BrotliLevel::default()),
        Some(5) => Compression::LZ4,
        Some(6) => Compression::ZSTD(ZstdLevel::default()),
        Some(7) => Compression::LZ4_RAW,
        // LZO and whatever comes later cannot be written.
        _ => Compression::UNCOMPRESSED,
    }
}
