//! The operations of `kernels.cu` on tensors.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::{DeviceRepr, LaunchConfig, PushKernelArg};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
use candle_core::cuda_backend::{CudaDType, WrapErr};
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, D, DType, Device, Error, Layout, Result, Shape, Storage, Tensor, bail,
};
use half::{bf16, f16};

use crate::config::Activation;

const SOURCE: &str = include_str!("kernels.cu");
const WARP: u32 = 32;
/// The most threads of a block.
const THREADS: u32 = 256;
/// Values that a thread loads at once, if rows allow it.
const VALUES: u32 = 4;

/// The kernels, compiled for a device.
#[derive(Clone)]
pub(super) struct Kernels {
    ptx: String,
}

impl Kernels {
    /// Compiles the kernels for the device.
    pub(super) fn compile(device: &Device) -> Result<Self> {
        let (major, minor) = device.as_cuda_device()?.cuda_stream().context().compute_capability().w()?;
        let options = CompileOptions {
            options: vec![format!("--gpu-architecture=compute_{major}{minor}")],
            ..CompileOptions::default()
        };
        let ptx = compile_ptx_with_opts(SOURCE, options).map_err(Error::wrap)?;
        Ok(Self { ptx: ptx.to_src() })
    }

    /// `activation(x + bias)`, for rows `x`.
    pub(super) fn bias_activation(&self, x: &Tensor, bias: &Tensor, activation: Option<Activation>) -> Result<Tensor> {
        let activation = match activation {
            None => 0,
            Some(Activation::Gelu) => 1,
            Some(Activation::Relu) => 2,
            Some(Activation::GeluTanh) => 3,
            Some(Activation::Silu) => 4,
            Some(Activation::Tanh) => 5,
        };
        let width = x.dim(D::Minus1)?;
        let numbers = [Number::U32(count(width)), Number::U32(activation)];
        self.run("bias_activation", &[x, bias], x.shape().clone(), by_row(x.elem_count() / width, width, 0), &numbers)
    }

    /// Query, key and value of every head, of shape `[3, sequences, heads, tokens, size]`, from `rows` of shape
    /// `[sequences, tokens, 3 * heads * size]` plus `bias`. Queries are divided by the root of the size.
    pub(super) fn split_heads(&self, rows: &Tensor, bias: &Tensor, heads: usize) -> Result<Tensor> {
        let (sequences, tokens, width) = rows.dims3()?;
        let size = width / 3 / heads;
        let scale = 1.0 / (size as f32).sqrt();
        let numbers = [tokens, heads, size].map(|number| Number::U32(count(number)));
        let [tokens_number, heads_number, size_number] = numbers;
        let numbers = [tokens_number, heads_number, size_number, Number::F32(scale)];
        let shape = Shape::from((3, sequences, heads, tokens, size));
        self.run("split_heads", &[rows, bias], shape, by_row(sequences * tokens, width, 0), &numbers)
    }

    /// Rows of shape `[sequences, tokens, heads * size]` from `[sequences, heads, tokens, size]`.
    pub(super) fn merge_heads(&self, by_head: &Tensor) -> Result<Tensor> {
        let (sequences, heads, tokens, size) = by_head.dims4()?;
        let numbers = [tokens, heads, size].map(|number| Number::U32(count(number)));
        let shape = Shape::from((sequences, tokens, heads * size));
        self.run("merge_heads", &[by_head], shape, by_row(sequences * tokens, heads * size, 0), &numbers)
    }

    /// Scores of attention, of shape `[sequences, heads, tokens, tokens]`, as probabilities of the first tokens of each
    /// sequence, as many as its entry in `lengths`.
    pub(super) fn softmax(&self, scores: &Tensor, lengths: &Tensor) -> Result<Tensor> {
        let (sequences, heads, tokens, _) = scores.dims4()?;
        let rows = sequences * heads * tokens;
        let numbers = [rows, heads * tokens, tokens].map(|number| Number::U32(count(number)));
        let blocks = count(rows).div_ceil(THREADS / WARP);
        let launch = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 };
        self.run("softmax", &[scores, lengths], scores.shape().clone(), launch, &numbers)
    }

    /// `norm(x + bias + residual) * weight + offset`, for rows `x`.
    pub(super) fn add_norm(
        &self,
        x: &Tensor,
        [bias, residual, weight, offset]: [&Tensor; 4],
        epsilon: f32,
    ) -> Result<Tensor> {
        let width = x.dim(D::Minus1)?;
        let launch = by_row(x.elem_count() / width, width, count(width * size_of::<f32>()));
        let numbers = [Number::U32(count(width)), Number::F32(epsilon)];
        self.run("add_norm", &[x, bias, residual, weight, offset], x.shape().clone(), launch, &numbers)
    }

    fn run(
        &self,
        kernel: &str,
        inputs: &[&Tensor],
        shape: Shape,
        launch: LaunchConfig,
        numbers: &[Number],
    ) -> Result<Tensor> {
        let [first, others @ ..] = inputs else { bail!("{kernel} needs an input") };
        let name = match first.dtype() {
            DType::F32 => format!("{kernel}_f32"),
            DType::F16 => format!("{kernel}_f16"),
            DType::BF16 => format!("{kernel}_bf16"),
            other => bail!("{kernel} does not compute in {other:?}"),
        };
        first.apply_op1_no_bwd(&Operation { ptx: &self.ptx, name, others, shape, launch, numbers })
    }
}

/// A launch of one block for each row of `width` values.
fn by_row(rows: usize, width: usize, shared_mem_bytes: u32) -> LaunchConfig {
    let threads = count(width).div_ceil(VALUES).next_multiple_of(WARP).min(THREADS);
    LaunchConfig { grid_dim: (count(rows), 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).expect("the sizes of a batch fit 32 bits")
}

#[derive(Clone, Copy)]
enum Number {
    U32(u32),
    F32(f32),
}

/// One launch of a kernel, whose parameters are the inputs, the output and the numbers.
struct Operation<'a> {
    ptx: &'a str,
    name: String,
    /// The inputs after the first, to which the operation is applied.
    others: &'a [&'a Tensor],
    /// Of the output.
    shape: Shape,
    launch: LaunchConfig,
    numbers: &'a [Number],
}

impl CustomOp1 for Operation<'_> {
    fn name(&self) -> &'static str {
        "emotion"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("{} runs on a GPU only", self.name)
    }

    fn cuda_fwd(&self, first: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let output = match first.dtype() {
            DType::F32 => self.launch::<f32>(first, layout)?,
            DType::F16 => self.launch::<f16>(first, layout)?,
            DType::BF16 => self.launch::<bf16>(first, layout)?,
            other => bail!("{} does not compute in {other:?}", self.name),
        };
        Ok((output, self.shape.clone()))
    }
}

impl Operation<'_> {
    fn launch<T: CudaDType + DeviceRepr>(&self, first: &CudaStorage, layout: &Layout) -> Result<CudaStorage> {
        let device = first.device();
        let function = device.get_or_load_custom_func(&self.name, "emotion", self.ptx)?;
        let others: Vec<_> = self.others.iter().map(|tensor| tensor.storage_and_layout()).collect();
        if !std::iter::once(layout).chain(others.iter().map(|(_, layout)| *layout)).all(is_whole) {
            bail!("an input of {} is not a whole tensor", self.name);
        }
        #[expect(unsafe_code, reason = "memory of the device is written before it is read, by the kernel below")]
        // SAFETY: the kernel writes every value.
        let mut output = unsafe { device.alloc::<T>(self.shape.elem_count()) }?;
        let mut builder = function.builder();
        builder.arg(first.as_cuda_slice::<T>()?);
        for (storage, _) in &others {
            let Storage::Cuda(storage) = &**storage else { bail!("an input of {} is not on the GPU", self.name) };
            match storage.dtype() {
                DType::U32 => builder.arg(storage.as_cuda_slice::<u32>()?),
                _ => builder.arg(storage.as_cuda_slice::<T>()?),
            };
        }
        builder.arg(&mut output);
        for number in self.numbers {
            match number {
                Number::U32(number) => builder.arg(number),
                Number::F32(number) => builder.arg(number),
            };
        }
        #[expect(unsafe_code, reason = "kernels are called through the driver")]
        // SAFETY: the parameters are those of the kernel; its inputs are whole tensors of the shapes that the methods of
        // `Kernels` describe.
        unsafe { builder.launch(self.launch) }.w()?;
        Ok(CudaStorage::wrap_cuda_slice(output, device.clone()))
    }
}

/// Whether a tensor is all of its storage, in order.
fn is_whole(layout: &Layout) -> bool {
    layout.is_contiguous() && layout.start_offset() == 0
}
