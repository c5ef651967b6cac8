use std::sync::OnceLock;

/// An instruction set for which the kernels are compiled, and which this machine has.
///
/// A value is the proof of that: one comes from [`Isa::detected`] or [`Isa::available`] alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Isa(Level);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// What every processor of the target has: on aarch64 NEON with fused multiply-add, on
    /// `x86_64` SSE2, without.
    Portable,
    /// AVX2 with fused multiply-add: 8 lanes.
    Avx2,
    /// AVX-512 F: 16 lanes.
    Avx512,
    /// AVX-512 VNNI besides, which has products of bytes.
    Avx512Vnni,
    /// AVX-512 BF16 besides, which has products of bfloat16.
    Avx512Bf16,
    /// Intel's Advanced Matrix Extensions besides, which multiply tiles of bytes and of bfloat16.
    Amx,
}

impl Isa {
    /// The environment variable that holds the name of the best instruction set to use:
    /// `portable`, `avx2`, `avx512`, `avx512vnni`, `avx512bf16` or `amx`. For tests and for finding faults;
    /// read once a process, and ignored if it names none that this machine has.
    pub const VARIABLE: &str = "EMOTION_ISA";

    /// The best instruction set of this machine, no better than [`Self::VARIABLE`] allows.
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

    /// Every instruction set that this machine can run, from the least to the best.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let levels = [Level::Portable, Level::Avx2, Level::Avx512, Level::Avx512Vnni, Level::Avx512Bf16, Level::Amx];
        levels.into_iter().filter(|level| level.is_available()).map(Self).collect()
    }

    /// The name that [`Self::VARIABLE`] takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Avx512Vnni => "avx512vnni",
            Level::Avx512Bf16 => "avx512bf16",
            Level::Amx => "amx",
        }
    }

    /// The best of this machine's instruction sets up to this one that adds up products one after the other, in
    /// float32 too: this one but for AMX.
    #[must_use]
    pub fn vector(self) -> Self {
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
    fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Self::Avx2.is_available() && is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => Self::Avx512.is_available() && is_x86_feature_detected!("avx512vnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => Self::Avx512Vnni.is_available() && is_x86_feature_detected!("avx512bf16"),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx => Self::Avx512Bf16.is_available() && crate::amx::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 | Self::Avx512Vnni | Self::Avx512Bf16 => false,
            #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
            Self::Amx => false,
        }
    }
}

/// Calls `$generic::<A>(…)` as compiled for the instruction set `$isa`.
///
/// The generic function must be `#[inline(always)]`, so that each wrapper holds a copy of it
/// compiled with that wrapper's instructions.
macro_rules! dispatch {
    ($isa:expr, $generic:ident($($name:ident: $kind:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2($($name: $kind),*) {
            $generic::<$crate::arithmetic::Fused>($($name),*);
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx2,fma")]
        fn avx512($($name: $kind),*) {
            $generic::<$crate::arithmetic::Wide>($($name),*);
        }
        match $isa.level() {
            // SAFETY: an `Isa` exists only if this machine has its instructions.
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Level::Avx2 => unsafe { avx2($($name),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Level::Avx512
            | $crate::isa::Level::Avx512Vnni
            | $crate::isa::Level::Avx512Bf16
            | $crate::isa::Level::Amx => unsafe { avx512($($name),*) },
            _ => $generic::<$crate::arithmetic::Native>($($name),*),
        }
    }};
}
pub(crate) use dispatch;
