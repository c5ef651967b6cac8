//! The instruction sets that the kernels are compiled for, and their detection.

#[cfg(target_arch = "aarch64")]
use std::arch::is_aarch64_feature_detected;
use std::sync::OnceLock;

/// An instruction set that the kernels are compiled for and that this machine has.
///
/// A value proves that this process may execute the instructions: only [`Isa::detected`] and [`Isa::available`] return
/// one, and both query the processor (for AMX, Linux as well). The safety of calls to functions with a target feature
/// relies on this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Isa(Level);

/// The instruction sets in ascending order. Each includes those before it on the same architecture, except that AVX-512
/// does not require AVX-VNNI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// The baseline of the target: NEON with fused multiply-add on aarch64, SSE2 without it on `x86_64`.
    Portable,
    /// The dot product extension of aarch64 (`FEAT_DotProd`): dot products of bytes.
    Dotprod,
    /// The matrix multiplication extension of aarch64 (`FEAT_I8MM`): products of two rows of bytes by two outputs.
    I8mm,
    /// The bfloat16 extension of aarch64 (`FEAT_BF16`).
    Bf16,
    /// AVX2 with fused multiply-add: 8 lanes.
    Avx2,
    /// AVX-VNNI: dot products of bytes in 8 lanes, also on processors without AVX-512.
    AvxVnni,
    /// AVX-512 F: 16 lanes.
    Avx512,
    /// AVX-512 VNNI: dot products of bytes.
    Avx512Vnni,
    /// AVX-512 BF16: dot products of bfloat16.
    Avx512Bf16,
    /// Intel's Advanced Matrix Extensions: products of tiles of bytes and of bfloat16.
    Amx,
}

impl Isa {
    /// The environment variable that names the best instruction set to use: `portable`; on x86-64 `avx2`, `avxvnni`,
    /// `avx512`, `avx512vnni`, `avx512bf16` or `amx`; on aarch64 `dotprod`, `i8mm` or `bf16`. It is meant for tests and
    /// diagnosis. It is read once per process, and ignored if this machine does not have the named instruction set.
    pub const VARIABLE: &str = "EMOTION_ISA";

    /// The best instruction set of this machine, limited by [`Self::VARIABLE`].
    #[must_use]
    pub fn detected() -> Self {
        static DETECTED: OnceLock<Isa> = OnceLock::new();
        *DETECTED.get_or_init(|| {
            let most = std::env::var(Self::VARIABLE).unwrap_or_default();
            let available = Self::available();
            let allowed = available.iter().position(|isa| isa.name() == most).unwrap_or(available.len() - 1);
            available[allowed]
        })
    }

    /// Every instruction set of this machine, in ascending order.
    #[must_use]
    pub fn available() -> Vec<Self> {
        Level::ALL.into_iter().filter(|level| level.is_available()).map(Self).collect()
    }

    /// The name that [`Self::VARIABLE`] takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            Level::Dotprod => "dotprod",
            Level::I8mm => "i8mm",
            Level::Bf16 => "bf16",
            Level::Avx2 => "avx2",
            Level::AvxVnni => "avxvnni",
            Level::Avx512 => "avx512",
            Level::Avx512Vnni => "avx512vnni",
            Level::Avx512Bf16 => "avx512bf16",
            Level::Amx => "amx",
        }
    }

    /// The best instruction set up to this one that multiplies in vector registers: this one, except for AMX.
    #[must_use]
    pub(crate) fn vector(self) -> Self {
        match self.0 {
            Level::Amx => Self(Level::Avx512Bf16),
            _ => self,
        }
    }

    pub(crate) fn level(self) -> Level {
        self.0
    }
}

impl Level {
    const ALL: [Self; 10] = [
        Self::Portable,
        Self::Dotprod,
        Self::I8mm,
        Self::Bf16,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512,
        Self::Avx512Vnni,
        Self::Avx512Bf16,
        Self::Amx,
    ];

    fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            // The order of the bytes in a register is that of little-endian memory.
            #[cfg(target_arch = "aarch64")]
            Self::Dotprod => cfg!(target_endian = "little") && is_aarch64_feature_detected!("dotprod"),
            #[cfg(target_arch = "aarch64")]
            Self::I8mm => Self::Dotprod.is_available() && is_aarch64_feature_detected!("i8mm"),
            #[cfg(target_arch = "aarch64")]
            Self::Bf16 => Self::I8mm.is_available() && is_aarch64_feature_detected!("bf16"),
            #[cfg(not(target_arch = "aarch64"))]
            Self::Dotprod | Self::I8mm | Self::Bf16 => false,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => Self::Avx2.is_available() && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Self::Avx2.is_available() && is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => Self::Avx512.is_available() && is_x86_feature_detected!("avx512vnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => Self::Avx512Vnni.is_available() && is_x86_feature_detected!("avx512bf16"),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx => Self::Avx512Bf16.is_available() && amx::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::AvxVnni | Self::Avx512 | Self::Avx512Vnni | Self::Avx512Bf16 => false,
            #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
            Self::Amx => false,
        }
    }
}

/// Detection of AMX, for which stable Rust has no feature test.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx {
    use std::arch::x86_64::__cpuid_count;
    use std::sync::OnceLock;

    /// Whether the processor multiplies tiles of bytes and of bfloat16, and Linux lets this process use them.
    pub(super) fn is_available() -> bool {
        static AVAILABLE: OnceLock<bool> = OnceLock::new();
        *AVAILABLE.get_or_init(|| has_instructions() && request_permission())
    }

    fn has_instructions() -> bool {
        const BF16: u32 = 1 << 22;
        const TILE: u32 = 1 << 24;
        const INT8: u32 = 1 << 25;
        let wanted = BF16 | TILE | INT8;
        __cpuid_count(0, 0).eax >= 7 && __cpuid_count(7, 0).edx & wanted == wanted
    }

    /// Since Linux 5.16 a process must request the state of the tile registers before it uses them; the permission
    /// holds for all its threads.
    fn request_permission() -> bool {
        const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
        const XFEATURE_XTILEDATA: libc::c_ulong = 18;
        // SAFETY: the call takes two numbers and accesses no memory of this process.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn levels_are_ascending_and_have_names_of_their_own() {
        assert!(Level::ALL.is_sorted());
        let names: HashSet<_> = Level::ALL.map(|level| Isa(level).name()).into();
        assert_eq!(names.len(), Level::ALL.len());
    }

    #[test]
    fn portable_code_is_available_everywhere_and_first() {
        assert_eq!(Isa::available()[0].level(), Level::Portable);
    }
}
