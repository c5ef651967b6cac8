use crate::architectures::layout::Layout;

/// Replaces names of `layout` by those that early checkpoints have instead: an encoder without the prefix of its
/// model, and `LayerNorm.gamma` and `LayerNorm.beta`.
pub(super) fn apply(layout: &mut Layout, contains: impl Fn(&str) -> bool) {
    remove_prefix(layout, &contains);
    for norm in layout.norms_mut() {
        rename(&mut norm.weight, ".weight", ".gamma", &contains);
        rename(&mut norm.bias, ".bias", ".beta", &contains);
    }
}

fn remove_prefix(layout: &mut Layout, contains: impl Fn(&str) -> bool) {
    let words = &layout.embeddings.words.name;
    let Some((prefix, rest)) = words.split_once('.') else { return };
    if contains(words) || !contains(rest) {
        return;
    }
    let prefix = format!("{prefix}.");
    for name in layout.names_mut() {
        if let Some(rest) = name.strip_prefix(&prefix) {
            *name = rest.into();
        }
    }
}

fn rename(name: &mut String, end: &str, early: &str, contains: impl Fn(&str) -> bool) {
    let Some(stem) = name.strip_suffix(end).filter(|_| !contains(name)) else { return };
    let renamed = format!("{stem}{early}");
    if contains(&renamed) {
        *name = renamed;
    }
}
