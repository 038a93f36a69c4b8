// NVIDIA's types as ours, for upstream_cuda.cc and upstream_driver.cc; <cuda.h> and
// <kernmill/cuda.h> come before it.
#include <type_traits>

template <class T, class = void> struct ours {
    using type = T;
};
template <class T> struct ours<T, std::enable_if_t<std::is_enum_v<T>>> {
    static_assert(sizeof(T) == sizeof(int), "an enumeration is passed as an int");
    using type = int;
};
template <> struct ours<CUlaunchConfig> {
    using type = km_cu_config;
};
template <class T> struct ours<const T> {
    using type = const typename ours<T>::type;
};
template <class T> struct ours<T *> {
    using type = typename ours<T>::type *;
};
