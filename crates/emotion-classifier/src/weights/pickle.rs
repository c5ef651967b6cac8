//! `pytorch_model.bin`: a zip archive that holds a pickle, which describes the tensors, and the values of each.

use std::collections::HashMap;
use std::fmt;
use std::io::{Cursor, Read};

use candle_core::pickle::{Object, Stack};
use zip::ZipArchive;

use crate::weights::values::{bf16_values, f16_values, f32_values, f64_values};

/// The largest pickle that is read: the names and shapes of thousands of tensors take less than a megabyte.
const MOST_BYTES: u64 = 64 << 20;

/// The most objects within one another: a dictionary of tensors has six.
const MOST_DEPTH: usize = 64;

/// The most objects that all references of a pickle may copy.
const MOST_COPIES: usize = 10_000_000;

/// The tensors of a checkpoint that PyTorch 1.6 or later saved.
///
/// The pickle is read by candle, which executes nothing: it builds a tree of objects. A dictionary of tensors is
/// accepted; any other object is an error that names it.
pub(super) struct Pickle<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    tensors: HashMap<String, Tensor>,
}

impl fmt::Debug for Pickle<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pickle").field("tensors", &self.tensors).finish_non_exhaustive()
    }
}

/// Where the values of a tensor are; sizes and strides are in values.
#[derive(Debug)]
struct Tensor {
    /// The file of the archive.
    file: String,
    storage: Storage,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Storage {
    F64,
    F32,
    F16,
    Bf16,
    /// A type that no weight has, such as the integers of position ids.
    Other,
}

impl<'a> Pickle<'a> {
    /// Opens the bytes of a `pytorch_model.bin`, or says why it is none.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| {
            format!(
                "pytorch_model.bin is not a checkpoint of PyTorch 1.6 or later ({e}): the file is truncated or damaged, \
                 or an older pickle, which is not read; convert it with \
                 `model.save_pretrained(folder, safe_serialization=True)`"
            )
        })?;
        let name = archive.file_names().flatten().find(|name| name.ends_with("/data.pkl")).map(String::from);
        let name = name.ok_or("pytorch_model.bin has no data.pkl: it is not a checkpoint of PyTorch")?;
        let mut pickle = Vec::new();
        let file = archive.by_name(&name).map_err(|e| damaged(&e))?;
        file.take(MOST_BYTES).read_to_end(&mut pickle).map_err(|e| damaged(&e))?;
        let folder = name.trim_end_matches("data.pkl");
        let tensors = tensors(parse(&pickle)?, folder)?;
        Ok(Self { archive, tensors })
    }

    pub(super) fn shapes(&self) -> impl Iterator<Item = &[usize]> {
        self.tensors.values().map(|tensor| tensor.shape.as_slice())
    }

    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| tensor.shape.as_slice())
    }

    /// The values of a tensor in row-major order.
    pub(super) fn values(&self, name: &str) -> Result<Vec<f32>, String> {
        let tensor = &self.tensors[name];
        let size = match tensor.storage {
            Storage::F64 => 8,
            Storage::F32 => 4,
            Storage::F16 | Storage::Bf16 => 2,
            Storage::Other => {
                return Err("is not of type float64, float32, float16 or bfloat16".into());
            }
        };
        let mut archive = self.archive.clone();
        let mut file = archive.by_name(&tensor.file).map_err(|e| format!("has no values: {e}"))?;
        let mut data = Vec::new();
        file.read_to_end(&mut data).map_err(|e| format!("cannot be read: {e}"))?;
        let data = tensor.gather(&data, size).ok_or("has values beyond the end of its file: the file is damaged")?;
        Ok(match tensor.storage {
            Storage::F64 => f64_values(&data),
            Storage::F16 => f16_values(&data),
            Storage::Bf16 => bf16_values(&data),
            Storage::F32 | Storage::Other => f32_values(&data),
        })
    }
}

impl Tensor {
    /// The bytes of the values in row-major order, `size` bytes each; `None` if some are beyond the end of `data`.
    fn gather(&self, data: &[u8], size: usize) -> Option<Vec<u8>> {
        let mut starts = vec![self.offset];
        for (&length, &stride) in self.shape.iter().zip(&self.strides) {
            // No more values than bytes: a stride of 0, which repeats values, is not one of saved weights.
            if starts.len().checked_mul(length)? > data.len() {
                return None;
            }
            let mut next = Vec::with_capacity(starts.len() * length);
            for start in starts {
                for index in 0..length {
                    next.push(start.checked_add(index.checked_mul(stride)?)?);
                }
            }
            starts = next;
        }
        let mut bytes = Vec::with_capacity(starts.len() * size);
        for start in starts {
            let start = start.checked_mul(size)?;
            bytes.extend_from_slice(data.get(start..start.checked_add(size)?)?);
        }
        Some(bytes)
    }
}

fn damaged(error: &dyn fmt::Display) -> String {
    format!("pytorch_model.bin: {error}: the file is damaged; copy or download it again")
}

/// The object that a pickle describes.
fn parse(pickle: &[u8]) -> Result<Object, String> {
    let mut stack = Stack::empty();
    let mut rest = pickle;
    let mut copies = 0_usize;
    loop {
        let instruction = *rest.first().ok_or("pytorch_model.bin: its pickle ends too early: the file is damaged")?;
        // candle shifts by eight times the number of bytes of an integer.
        if instruction == 0x8a && rest.get(1).is_some_and(|&bytes| bytes > 8) {
            return Err("pytorch_model.bin: its pickle has an integer of more than 64 bits".into());
        }
        if instruction == b'X' && rest.get(1..5).is_some_and(|length| declared(length) > rest.len()) {
            return Err("pytorch_model.bin: its pickle ends within a text: the file is damaged".into());
        }
        if !operands(instruction, stack.stack()).all(|object| is_shallow(object, MOST_DEPTH)) {
            return Err("pytorch_model.bin: the objects of its pickle are nested too deeply".into());
        }
        if stack.read(&mut rest).map_err(|e| damaged(&e))? {
            return stack.finalize().map_err(|e| damaged(&e));
        }
        // References copy what they refer to, so that a few instructions could ask for any amount of memory.
        if matches!(instruction, b'h' | b'j' | b'q' | b'r') {
            copies += stack.stack().last().map_or(0, size);
            if copies > MOST_COPIES {
                return Err("pytorch_model.bin: its pickle repeats its objects too often".into());
            }
        }
    }
}

/// The objects that an instruction puts into another.
fn operands(instruction: u8, stack: &[Object]) -> impl Iterator<Item = &Object> {
    let most = match instruction {
        // Everything down to the last mark.
        b't' | b'u' | b'd' | b'e' => usize::MAX,
        0x85 | b'Q' | b's' | b'a' => 1,
        0x86 | b'R' | b'b' | 0x81 => 2,
        0x87 => 3,
        _ => 0,
    };
    stack.iter().rev().take(most).take_while(|object| !matches!(object, Object::Mark))
}

/// Whether an object has at most this number of levels.
fn is_shallow(object: &Object, levels: usize) -> bool {
    let Some(levels) = levels.checked_sub(1) else { return false };
    match object {
        Object::Tuple(items) | Object::List(items) => items.iter().all(|item| is_shallow(item, levels)),
        Object::Dict(items) => items.iter().all(|(key, value)| is_shallow(key, levels) && is_shallow(value, levels)),
        Object::Reduce { callable, args } | Object::Build { callable, args } => {
            is_shallow(callable, levels) && is_shallow(args, levels)
        }
        Object::PersistentLoad(id) => is_shallow(id, levels),
        _ => true,
    }
}

fn declared(length: &[u8]) -> usize {
    length.try_into().map_or(usize::MAX, |bytes| u32::from_le_bytes(bytes) as usize)
}

/// The number of objects within an object, itself included.
fn size(object: &Object) -> usize {
    1 + match object {
        Object::Tuple(items) | Object::List(items) => items.iter().map(size).sum(),
        Object::Dict(items) => items.iter().map(|(key, value)| size(key) + size(value)).sum(),
        Object::Reduce { callable, args } | Object::Build { callable, args } => size(callable) + size(args),
        Object::PersistentLoad(id) => size(id),
        _ => 0,
    }
}

/// The tensors of a dictionary, by name.
fn tensors(object: Object, folder: &str) -> Result<HashMap<String, Tensor>, String> {
    let Object::Dict(items) = object else {
        return Err(format!("pytorch_model.bin holds {}, not a dictionary of tensors", name_of(&object)));
    };
    let mut tensors = HashMap::new();
    for (name, value) in items {
        let Object::Unicode(name) = name else {
            return Err("pytorch_model.bin holds a dictionary whose keys are not names of tensors".into());
        };
        // PyTorch keeps the versions of its modules here.
        if name == "_metadata" {
            continue;
        }
        let tensor = tensor(&value, folder)
            .ok_or_else(|| format!("pytorch_model.bin holds {} as '{name}', not a tensor", name_of(&value)))?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

/// The arguments of a call of this function.
fn call<'a>(object: &'a Object, module: &str, function: &str) -> Option<&'a [Object]> {
    let Object::Reduce { callable, args } = object else { return None };
    let Object::Class { module_name, class_name } = &**callable else { return None };
    let Object::Tuple(args) = &**args else { return None };
    (module_name == module && class_name == function).then_some(args)
}

/// The tensor that a call of PyTorch's functions makes; `None` for any other object.
fn tensor(object: &Object, folder: &str) -> Option<Tensor> {
    if let Some([tensor_call, ..]) = call(object, "torch._utils", "_rebuild_parameter") {
        return tensor(tensor_call, folder);
    }
    let [Object::PersistentLoad(storage), offset, shape, strides, ..] =
        call(object, "torch._utils", "_rebuild_tensor_v2")?
    else {
        return None;
    };
    let Object::Tuple(storage) = &**storage else { return None };
    let [_, Object::Class { class_name, .. }, Object::Unicode(file), ..] = &storage[..] else { return None };
    let (shape, strides) = (integers(shape)?, integers(strides)?);
    (shape.len() == strides.len()).then_some(Tensor {
        file: format!("{folder}data/{file}"),
        storage: match class_name.as_str() {
            "DoubleStorage" => Storage::F64,
            "FloatStorage" => Storage::F32,
            "HalfStorage" => Storage::F16,
            "BFloat16Storage" => Storage::Bf16,
            _ => Storage::Other,
        },
        offset: integer(offset)?,
        shape,
        strides,
    })
}

fn integers(object: &Object) -> Option<Vec<usize>> {
    let Object::Tuple(items) = object else { return None };
    items.iter().map(integer).collect()
}

fn integer(object: &Object) -> Option<usize> {
    match object {
        Object::Int(value) => usize::try_from(*value).ok(),
        Object::Long(value) => usize::try_from(*value).ok(),
        _ => None,
    }
}

/// An object in an error.
fn name_of(object: &Object) -> String {
    match object {
        Object::Reduce { callable, .. } | Object::Build { callable, .. } => match &**callable {
            Object::Class { module_name, class_name } => format!("a call of {module_name}.{class_name}"),
            _ => "a call".into(),
        },
        Object::Class { module_name, class_name } => format!("the class {module_name}.{class_name}"),
        Object::Dict(_) => "a dictionary".into(),
        Object::Tuple(_) | Object::List(_) => "a list".into(),
        Object::Int(_) | Object::Long(_) | Object::Float(_) => "a number".into(),
        Object::Unicode(_) => "a text".into(),
        _ => "another object".into(),
    }
}
