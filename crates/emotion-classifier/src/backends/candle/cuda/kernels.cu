// The operations between the matrix products of an encoder, each with one pass over its data.
//
// NVRTC compiles this file for the device when a model is loaded, without header files. Values are computed in float.
// Every kernel runs one block for each row, unless it says otherwise.

struct Float16 { unsigned short bits; };
struct Bfloat16 { unsigned short bits; };

__device__ float load(const float *at) { return *at; }
__device__ void store(float *at, float value) { *at = value; }

__device__ float load(const Float16 *at) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(at->bits));
    return value;
}

__device__ void store(Float16 *at, float value) {
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(at->bits) : "f"(value));
}

__device__ float load(const Bfloat16 *at) { return __uint_as_float((unsigned)at->bits << 16); }

// To the nearest value, of two to the even one; devices before compute capability 8.0 have no instruction for it.
__device__ void store(Bfloat16 *at, float value) {
    const unsigned bits = __float_as_uint(value);
    at->bits = value == value ? (bits + 0x7fff + (bits >> 16 & 1)) >> 16 : 0x7fff;
}

const unsigned WARP = 32;
const unsigned ALL = 0xffffffff;

__device__ float warp_sum(float value) {
    for (unsigned lanes = WARP / 2; lanes > 0; lanes /= 2) value += __shfl_xor_sync(ALL, value, lanes);
    return value;
}

__device__ float warp_max(float value) {
    for (unsigned lanes = WARP / 2; lanes > 0; lanes /= 2) value = fmaxf(value, __shfl_xor_sync(ALL, value, lanes));
    return value;
}

// The sum over the block, in all of its threads; a block has at most 32 warps.
__device__ float block_sum(float value) {
    __shared__ float sums[WARP];
    value = warp_sum(value);
    __syncthreads();
    if (threadIdx.x % WARP == 0) sums[threadIdx.x / WARP] = value;
    __syncthreads();
    const unsigned warps = blockDim.x / WARP;
    return warp_sum(threadIdx.x % WARP < warps ? sums[threadIdx.x % WARP] : 0.0f);
}

// The numbers are those of `Activation` in Rust. NaN stays NaN.
__device__ float activate(float x, unsigned activation) {
    switch (activation) {
    case 1: return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case 2: return x < 0.0f ? 0.0f : x;
    case 3: return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case 4: return x / (1.0f + expf(-x));
    case 5: return tanhf(x);
    default: return x;
    }
}

// N neighbouring values, which one instruction loads.
template <typename T, unsigned N>
struct alignas(sizeof(T) * N) Values {
    T at[N];
};

// y = activation(x + bias), for rows of `width` values, which N divides.
template <unsigned N, typename T>
__device__ void bias_activation(const T *x, const T *bias, T *y, unsigned width, unsigned activation) {
    const size_t start = (size_t)blockIdx.x * width;
    for (unsigned at = threadIdx.x * N; at < width; at += blockDim.x * N) {
        Values<T, N> values = *(const Values<T, N> *)(x + start + at);
        const Values<T, N> biases = *(const Values<T, N> *)(bias + at);
        for (unsigned i = 0; i < N; i++)
            store(values.at + i, activate(load(values.at + i) + load(biases.at + i), activation));
        *(Values<T, N> *)(y + start + at) = values;
    }
}

// Query, key and value of every head, of shape [3, sequences, heads, tokens, size], from rows of shape
// [sequences, tokens, 3, heads, size] and their bias. Queries are multiplied by `scale`. N divides `size`.
template <unsigned N, typename T>
__device__ void split_heads(const T *rows, const T *bias, T *out, unsigned tokens, unsigned heads, unsigned size,
                            float scale) {
    const unsigned width = heads * size;
    const unsigned sequence = blockIdx.x / tokens, token = blockIdx.x % tokens;
    const T *row = rows + (size_t)blockIdx.x * 3 * width;
    const size_t part = (size_t)gridDim.x * width;
    for (unsigned at = threadIdx.x * N; at < 3 * width; at += blockDim.x * N) {
        const unsigned head = at / size, which = head / heads;
        const size_t to = ((size_t)sequence * heads + head - which * heads) * tokens + token;
        Values<T, N> values = *(const Values<T, N> *)(row + at);
        const Values<T, N> biases = *(const Values<T, N> *)(bias + at);
        for (unsigned i = 0; i < N; i++) {
            const float value = load(values.at + i) + load(biases.at + i);
            store(values.at + i, which == 0 ? value * scale : value);
        }
        *(Values<T, N> *)(out + which * part + to * size + (at - head * size)) = values;
    }
}

// Rows of shape [sequences, tokens, heads, size] from [sequences, heads, tokens, size]. N divides `size`.
template <unsigned N, typename T>
__device__ void merge_heads(const T *by_head, T *rows, unsigned tokens, unsigned heads, unsigned size) {
    const unsigned width = heads * size;
    const unsigned sequence = blockIdx.x / tokens, token = blockIdx.x % tokens;
    T *row = rows + (size_t)blockIdx.x * width;
    for (unsigned at = threadIdx.x * N; at < width; at += blockDim.x * N) {
        const unsigned head = at / size;
        const size_t from = ((size_t)sequence * heads + head) * tokens + token;
        *(Values<T, N> *)(row + at) = *(const Values<T, N> *)(by_head + from * size + (at - head * size));
    }
}

// Scores of attention to probabilities: rows of `tokens` scores, `rows_each` of them for each sequence, of which the
// first `lengths[sequence]` tokens count. One warp for each row.
template <typename T>
__device__ void softmax(const T *scores, const unsigned *lengths, T *out, unsigned rows, unsigned rows_each,
                        unsigned tokens) {
    const unsigned row = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (row >= rows) return;
    const unsigned length = lengths[row / rows_each];
    const size_t start = (size_t)row * tokens;
    const T *at = scores + start;
    float largest = __int_as_float(0xff800000);
    for (unsigned key = lane; key < length; key += WARP) largest = fmaxf(largest, load(at + key));
    largest = warp_max(largest);
    float sum = 0.0f;
    for (unsigned key = lane; key < length; key += WARP) sum += expf(load(at + key) - largest);
    const float scale = 1.0f / warp_sum(sum);
    for (unsigned key = lane; key < tokens; key += WARP)
        store(out + start + key, key < length ? expf(load(at + key) - largest) * scale : 0.0f);
}

// y = norm(x + bias + residual) * weight + offset, for rows of `width` values, which N divides and which shared memory
// holds in between.
template <unsigned N, typename T>
__device__ void add_norm(const T *x, const T *bias, const T *residual, const T *weight, const T *offset, T *y,
                         unsigned width, float epsilon) {
    extern __shared__ float sums[];
    const size_t start = (size_t)blockIdx.x * width;
    float sum = 0.0f;
    for (unsigned at = threadIdx.x * N; at < width; at += blockDim.x * N) {
        const Values<T, N> values = *(const Values<T, N> *)(x + start + at);
        const Values<T, N> biases = *(const Values<T, N> *)(bias + at);
        const Values<T, N> residuals = *(const Values<T, N> *)(residual + start + at);
        for (unsigned i = 0; i < N; i++) {
            sums[at + i] = load(values.at + i) + load(biases.at + i) + load(residuals.at + i);
            sum += sums[at + i];
        }
    }
    const float mean = block_sum(sum) / width;
    float squares = 0.0f;
    for (unsigned at = threadIdx.x * N; at < width; at += blockDim.x * N) {
        for (unsigned i = 0; i < N; i++) {
            const float centred = sums[at + i] - mean;
            squares += centred * centred;
        }
    }
    const float variance = block_sum(squares) / width;
    // NaN if the variance overflows, whose inverse would turn the row into the offset; otherwise 0 is added.
    const float scale = rsqrtf(variance + epsilon) + variance * 0.0f;
    for (unsigned at = threadIdx.x * N; at < width; at += blockDim.x * N) {
        const Values<T, N> weights = *(const Values<T, N> *)(weight + at);
        Values<T, N> values = *(const Values<T, N> *)(offset + at);
        for (unsigned i = 0; i < N; i++)
            store(values.at + i, (sums[at + i] - mean) * scale * load(weights.at + i) + load(values.at + i));
        *(Values<T, N> *)(y + start + at) = values;
    }
}

#define KERNELS(T, NAME)                                                                                               \
    extern "C" __global__ void bias_activation_##NAME(const T *x, const T *bias, T *y, unsigned width,                 \
                                                      unsigned activation) {                                           \
        if (width % 4 == 0) bias_activation<4>(x, bias, y, width, activation);                                         \
        else bias_activation<1>(x, bias, y, width, activation);                                                        \
    }                                                                                                                  \
    extern "C" __global__ void split_heads_##NAME(const T *rows, const T *bias, T *out, unsigned tokens,               \
                                                  unsigned heads, unsigned size, float scale) {                        \
        if (size % 4 == 0) split_heads<4>(rows, bias, out, tokens, heads, size, scale);                                \
        else split_heads<1>(rows, bias, out, tokens, heads, size, scale);                                              \
    }                                                                                                                  \
    extern "C" __global__ void merge_heads_##NAME(const T *by_head, T *rows, unsigned tokens, unsigned heads,          \
                                                  unsigned size) {                                                     \
        if (size % 4 == 0) merge_heads<4>(by_head, rows, tokens, heads, size);                                         \
        else merge_heads<1>(by_head, rows, tokens, heads, size);                                                       \
    }                                                                                                                  \
    extern "C" __global__ void softmax_##NAME(const T *scores, const unsigned *lengths, T *out, unsigned rows,         \
                                              unsigned rows_each, unsigned tokens) {                                   \
        softmax(scores, lengths, out, rows, rows_each, tokens);                                                        \
    }                                                                                                                  \
    extern "C" __global__ void add_norm_##NAME(const T *x, const T *bias, const T *residual, const T *weight,          \
                                               const T *offset, T *y, unsigned width, float epsilon) {                 \
        if (width % 4 == 0) add_norm<4>(x, bias, residual, weight, offset, y, width, epsilon);                         \
        else add_norm<1>(x, bias, residual, weight, offset, y, width, epsilon);                                        \
    }

KERNELS(float, f32)
KERNELS(Float16, f16)
KERNELS(Bfloat16, bf16)
