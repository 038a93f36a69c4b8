#include "profile/class.h"

#include <stddef.h>
#include <string.h>

#include "core/str.h"

#define NAME_BYTES 128

const char *const km_op_class_names[] = { "scope",     "view",    "pointwise", "copy",
                                          "reduction", "compute", "other",     "custom" };

/* Names between spaces, without "aten::". What is in no row and calls others is a scope; what is in
 * no row and calls none is KM_OP_OTHER, and ends a chain: a wrong guess would promise a gain. */
static const struct {
    km_op_class kind;
    const char *names;
} table[] = {
    { KM_OP_VIEW,
      " alias as_strided chunk detach diagonal empty empty_like empty_permuted empty_strided "
      "expand "
      "expand_as imag is_nonzero is_same_size lift_fresh movedim narrow new_empty "
      "new_empty_strided numpy_T permute real reshape_as resize resolve_conj resolve_neg "
      "result_type select set slice split split_with_sizes squeeze swapaxes t tensor_split "
      "transpose unbind unfold unflatten unsafe_split unsafe_split_with_sizes unsqueeze view "
      "view_as view_as_complex view_as_real _reshape_alias _unsafe_view broadcast_tensors mT "
      "_has_compatible_shallow_copy_type _version output_nr " },
    { KM_OP_POINTWISE,
      " abs acos add addcdiv addcmul angle asin atan atan2 bitwise_and bitwise_not bitwise_or "
      "bitwise_xor ceil celu clamp clamp_max clamp_min clip copysign cos cosh div divide elu eq "
      "erf erfc erfinv exp exp2 expm1 fill floor floor_divide fmod full full_like ge gelu "
      "gelu_backward glu greater gt hardsigmoid hardswish hardtanh isfinite isinf isnan ldexp le "
      "leaky_relu lerp less lgamma log log10 log1p log2 log_sigmoid logical_and logical_not "
      "logical_or logical_xor logit lt masked_fill maximum minimum mish mish_backward mul "
      "multiply nan_to_num ne neg negative new_full new_ones new_zeros not_equal ones ones_like "
      "pow prelu reciprocal relu relu6 remainder round rsqrt rsub selu sgn sigmoid "
      "sigmoid_backward sign silu silu_backward sin sinh softplus softplus_backward sqrt square "
      "sub subtract tan tanh tanh_backward threshold threshold_backward tril triu trunc where "
      "xlogy zero zeros zeros_like dropout native_dropout native_dropout_backward bernoulli "
      "_fused_adam _fused_adamw _fused_sgd _fused_adagrad " },
    { KM_OP_COPY,
      " cat concat clone contiguous copy flatten flip reshape repeat repeat_interleave roll stack "
      "hstack vstack constant_pad_nd pad to type_as _to_copy _copy_from slice_backward "
      "select_backward " },
    { KM_OP_REDUCTION,
      " all amax amin aminmax any argmax argmin batch_norm binary_cross_entropy "
      "binary_cross_entropy_with_logits cross_entropy_loss cudnn_batch_norm group_norm huber_loss "
      "instance_norm kl_div l1_loss layer_norm linalg_vector_norm log_softmax logsumexp max mean "
      "min mse_loss native_batch_norm native_batch_norm_backward native_group_norm "
      "native_group_norm_backward native_layer_norm native_layer_norm_backward nll_loss "
      "nll_loss_backward nll_loss_forward nll_loss2d norm prod rms_norm smooth_l1_loss softmax "
      "special_log_softmax special_softmax std std_mean sum sum_to_size var var_mean "
      "_batch_norm_with_update _fused_rms_norm _fused_rms_norm_backward _log_softmax "
      "_log_softmax_backward_data _safe_softmax _softmax _softmax_backward_data cosine_similarity "
      "normalize " },
    { KM_OP_COMPUTE,
      " addbmm addmm addmv addr baddbmm bmm chain_matmul conv1d conv2d conv3d conv_transpose1d "
      "conv_transpose2d conv_transpose3d convolution convolution_backward cudnn_convolution dot "
      "embedding embedding_backward embedding_bag embedding_dense_backward gather grid_sampler "
      "gru index index_add index_copy index_put index_select inner linear linear_backward lstm "
      "masked_select matmul matmul_backward max_pool2d mm mv multi_head_attention_forward "
      "scaled_dot_product_attention scatter scatter_add scatter_reduce searchsorted sort take "
      "take_along_dim topk avg_pool2d adaptive_avg_pool2d upsample_nearest2d upsample_bilinear2d "
      "_convolution _scaled_mm _grouped_mm _scaled_grouped_mm _int_mm _addmm_activation "
      "_efficient_attention_forward _efficient_attention_backward _flash_attention_forward "
      "_flash_attention_backward _index_put_impl _embedding_bag "
      "_scaled_dot_product_attention_math _scaled_dot_product_cudnn_attention "
      "_scaled_dot_product_cudnn_attention_backward _scaled_dot_product_efficient_attention "
      "_scaled_dot_product_efficient_attention_backward _scaled_dot_product_flash_attention "
      "_scaled_dot_product_flash_attention_backward _scaled_dot_product_flash_attention_for_cpu "
      "_scaled_dot_product_flash_attention_for_cpu_backward "
      "_scaled_dot_product_fused_attention_overrideable _transformer_encoder_layer_fwd "
      "_native_multi_head_attention mkldnn_convolution mkldnn_rnn_layer _thnn_fused_lstm_cell " },
};

static const char lazy[] = " to type_as reshape contiguous flatten dropout ";
static const char only_written[] = " copy fill zero ";

/* The name without namespace and without the '_' of an operator in place; NULL: not torch's. */
static const char *plain(const char *name, char room[NAME_BYTES], bool *in_place)
{
    const char *word = km_starts_with(name, "aten::") ? name + strlen("aten::") : NULL;
    size_t n = word ? strlen(word) : 0;

    *in_place = false;
    if (!n || n + 3 > NAME_BYTES)
        return NULL;
    *in_place = n > 1 && word[n - 1] == '_';
    room[0] = ' ';
    n -= *in_place;
    memcpy(room + 1, word, n);
    room[n + 1] = ' ';
    room[n + 2] = '\0';
    return room;
}

km_op_class km_op_class_of(const char *name)
{
    char room[NAME_BYTES];
    bool in_place;
    const char *word = plain(name, room, &in_place);

    if (!word && km_starts_with(name, "aten::"))
        return KM_OP_OTHER;
    if (!word)
        return strstr(name, "::") && !strchr(name, ' ') ? KM_OP_CUSTOM : KM_OP_SCOPE;
    if (km_starts_with(word, " _foreach_"))
        return KM_OP_POINTWISE;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strstr(table[i].names, word))
            return table[i].kind;
    return KM_OP_OTHER;
}

bool km_op_is(const char *name, const char *names)
{
    char room[NAME_BYTES];
    bool in_place;
    const char *word = plain(name, room, &in_place);

    return word && strstr(names, word);
}

bool km_op_moves_memory(km_op_class c)
{
    return c == KM_OP_POINTWISE || c == KM_OP_COPY || c == KM_OP_REDUCTION;
}

bool km_op_is_lazy(const char *name)
{
    return km_op_is(name, lazy);
}

bool km_op_writes_first(const char *name)
{
    char room[NAME_BYTES];
    bool in_place;

    return plain(name, room, &in_place) && in_place;
}

bool km_op_reads_first(const char *name)
{
    char room[NAME_BYTES];
    bool in_place;
    const char *word = plain(name, room, &in_place);

    return !(word && in_place && strstr(only_written, word));
}
