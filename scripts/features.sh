# To be sourced: all features of the workspace but those of candle that need libraries or compilers
# which few machines have: cuda, metal, accelerate and mkl.
# shellcheck disable=SC2034
FEATURES=candle,cluster,default-model,hub,proto,server
