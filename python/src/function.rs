use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, make_array};
use arrow::compute::concat;
use arrow::datatypes::Field;
use arrow::pyarrow::PyArrowType;
use datafusion::common::config::ExtensionOptions;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};
use datafusion_emotion::emotion_classifier::Error as ModelError;
use datafusion_emotion::{EmotionOptions, Error, functions_of};
use datafusion_ffi::udf::FFI_ScalarUDF;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::process;

/// Rows between two looks for an interrupt from the keyboard.
const ROWS: usize = 1024;

/// One function of a model: a DataFusion scalar function, which Python can call as well.
#[pyclass(frozen, module = "datafusion_emotion")]
pub(crate) struct Function {
    udf: Arc<ScalarUDF>,
    options: EmotionOptions,
}

/// Makes the functions of one model, whose names start with `prefix`.
///
/// `options` are those of SQL without the `emotion.` before them.
#[pyfunction]
pub(crate) fn functions(py: Python<'_>, prefix: &str, options: BTreeMap<String, String>) -> PyResult<Vec<Function>> {
    let functions = py.detach(|| -> Result<Vec<Function>, DataFusionError> {
        let mut all = EmotionOptions::default();
        for (name, value) in &options {
            all.set(name, value)?;
        }
        let functions = functions_of(prefix, all.clone())?.into_iter();
        Ok(functions.map(|udf| Function { udf, options: all.clone() }).collect())
    });
    functions.map_err(to_python)
}

#[pymethods]
impl Function {
    /// The name it has in SQL.
    #[getter]
    fn name(&self) -> &str {
        self.udf.name()
    }

    /// The function as the capsule that `SessionContext.register_udf` takes.
    fn __datafusion_scalar_udf__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        PyCapsule::new_with_value(py, FFI_ScalarUDF::from(Arc::clone(&self.udf)), c"datafusion_scalar_udf")
    }

    /// The result for each text of an array, and of the label if there is one. A threshold replaces that of the
    /// function's options.
    #[pyo3(signature = (texts, label=None, threshold=None))]
    fn __call__(
        &self,
        py: Python<'_>,
        texts: PyArrowType<ArrayData>,
        label: Option<&str>,
        threshold: Option<&str>,
    ) -> PyResult<PyArrowType<ArrayData>> {
        process::check()?;
        let texts = make_array(texts.0);
        let (udf, config_options) = self.with_threshold(threshold).map_err(to_python)?;
        let call = Call::new(&udf, config_options, &texts, label).map_err(to_python)?;
        let mut results = vec![];
        // An empty array is one slice, too, so that its result has the right type.
        for start in (0..texts.len().max(1)).step_by(ROWS) {
            py.check_signals()?;
            let slice = texts.slice(start, ROWS.min(texts.len() - start));
            results.push(py.detach(|| call.run(slice)).map_err(to_python)?);
        }
        let results: Vec<&dyn Array> = results.iter().map(AsRef::as_ref).collect();
        let result = concat(&results).map_err(|error| to_python(error.into()))?;
        Ok(PyArrowType(result.to_data()))
    }
}

impl Function {
    /// The function under its options, of which the threshold may be another; and the options if it is.
    fn with_threshold(&self, threshold: Option<&str>) -> Result<(Arc<ScalarUDF>, ConfigOptions), DataFusionError> {
        let mut config = ConfigOptions::default();
        let Some(threshold) = threshold else { return Ok((Arc::clone(&self.udf), config)) };
        let mut options = self.options.clone();
        options.set("threshold", threshold)?;
        config.extensions.insert(options);
        let udf = self.udf.inner().with_updated_config(&config).map_or_else(|| Arc::clone(&self.udf), Arc::new);
        Ok((udf, config))
    }
}

/// A function with the types of its arguments.
struct Call<'a> {
    udf: &'a ScalarUDF,
    label: Option<ScalarValue>,
    arg_fields: Vec<Arc<Field>>,
    return_field: Arc<Field>,
    config_options: Arc<ConfigOptions>,
}

impl<'a> Call<'a> {
    fn new(
        udf: &'a ScalarUDF,
        config_options: ConfigOptions,
        texts: &ArrayRef,
        label: Option<&str>,
    ) -> Result<Self, DataFusionError> {
        let label = label.map(ScalarValue::from);
        let types = [texts.data_type().clone()].into_iter().chain(label.as_ref().map(ScalarValue::data_type));
        let arg_fields: Vec<_> = types.map(|of| Arc::new(Field::new("", of, true))).collect();
        let scalar_arguments: Vec<_> = [None, label.as_ref()].into_iter().take(arg_fields.len()).collect();
        let args = ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &scalar_arguments };
        let return_field = udf.return_field_from_args(args)?;
        Ok(Self { udf, label, arg_fields, return_field, config_options: Arc::new(config_options) })
    }

    fn run(&self, texts: ArrayRef) -> Result<ArrayRef, DataFusionError> {
        let number_rows = texts.len();
        let label = self.label.clone().map(ColumnarValue::Scalar);
        let args = ScalarFunctionArgs {
            args: std::iter::once(ColumnarValue::Array(texts)).chain(label).collect(),
            arg_fields: self.arg_fields.clone(),
            number_rows,
            return_field: Arc::clone(&self.return_field),
            config_options: Arc::clone(&self.config_options),
        };
        self.udf.invoke_with_args(args)?.into_array(number_rows)
    }
}

/// A wrong option or argument is a `ValueError`; what else went wrong a `RuntimeError`.
pub(crate) fn to_python(error: DataFusionError) -> PyErr {
    let message = error.strip_backtrace();
    match error.find_root() {
        DataFusionError::Plan(message) | DataFusionError::Configuration(message) => {
            PyValueError::new_err(message.clone())
        }
        DataFusionError::External(cause) => match cause.downcast_ref() {
            Some(Error::Model(
                ModelError::MaxLength { .. }
                | ModelError::Backend { .. }
                | ModelError::Device { .. }
                | ModelError::Precision { .. },
            )) => PyValueError::new_err(cause.to_string()),
            _ => PyRuntimeError::new_err(cause.to_string()),
        },
        _ => PyRuntimeError::new_err(message),
    }
}
