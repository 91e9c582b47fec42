/**
 * Inputs, outputs and attributes of the default domain's operators, one line per version in which they changed: name, first
 * operator set, inputs, outputs (r required, o optional, v any number, - none; inputs with the same digit have the same element
 * type), attributes with their kinds (! required).
 * Made by `test/corpus/signatures.py` from the operator schemas of onnx 1.23.2 (Apache-2.0).
 */
export const signatures = `\
Abs 1 r r consumed_inputs:I
Abs 6 r r
Acos 7 r r
Acosh 9 r r
Add 1 r0r0 r axis:i broadcast:i consumed_inputs:I
Add 6 r0r0 r axis:i broadcast:i
Add 7 r0r0 r
AffineGrid 20 rr r align_corners:i
And 1 r0r0 r axis:i broadcast:i
And 7 r0r0 r
ArgMax 1 r r axis:i keepdims:i
ArgMax 12 r r axis:i keepdims:i select_last_index:i
ArgMin 1 r r axis:i keepdims:i
ArgMin 12 r r axis:i keepdims:i select_last_index:i
Asin 7 r r
Asinh 9 r r
Atan 7 r r
Atanh 9 r r
Attention 23 r0r0r1oo0o1 rooo is_causal:i kv_num_heads:i q_num_heads:i qk_matmul_output_mode:i scale:f softcap:f softmax_precision:i
Attention 24 r0r0r1oo0o1o rooo is_causal:i kv_num_heads:i q_num_heads:i qk_matmul_output_mode:i scale:f softcap:f softmax_precision:i
Attention 25 r0r0r1oo0o1o rooo is_causal:i kv_num_heads:i left_window_size:i q_num_heads:i qk_matmul_output_mode:i right_window_size:i scale:f softcap:f softmax_precision:i
AveragePool 1 r r auto_pad:s kernel_shape:I! pads:I strides:I
AveragePool 7 r r auto_pad:s count_include_pad:i kernel_shape:I! pads:I strides:I
AveragePool 10 r r auto_pad:s ceil_mode:i count_include_pad:i kernel_shape:I! pads:I strides:I
AveragePool 19 r r auto_pad:s ceil_mode:i count_include_pad:i dilations:I kernel_shape:I! pads:I strides:I
BatchNormalization 1 r0r0r0r0r0 roooo consumed_inputs:I! epsilon:f is_test:i momentum:f spatial:i
BatchNormalization 6 r0r0r0r0r0 roooo epsilon:f is_test:i momentum:f spatial:i
BatchNormalization 7 r0r0r0r0r0 roooo epsilon:f momentum:f spatial:i
BatchNormalization 9 r0r0r0r0r0 roooo epsilon:f momentum:f
BatchNormalization 14 r0r0r0r1r1 roo epsilon:f momentum:f training_mode:i
BatchNormalization 15 rr0r0r1r1 roo epsilon:f momentum:f training_mode:i
Bernoulli 15 r r dtype:i seed:f
BitCast 26 r r to:i!
BitShift 11 r0r0 r direction:s!
BitwiseAnd 18 r0r0 r
BitwiseNot 18 r r
BitwiseOr 18 r0r0 r
BitwiseXor 18 r0r0 r
BlackmanWindow 17 r r output_datatype:i periodic:i
Cast 1 r r to:s!
Cast 6 r r to:i!
Cast 19 r r saturate:i to:i!
Cast 24 r r round_mode:s saturate:i to:i!
CastLike 15 rr r
CastLike 19 rr r saturate:i
CastLike 24 rr r round_mode:s saturate:i
CausalConvWithState 27 r0r0o0o0 rr activation:s
Ceil 1 r r consumed_inputs:I
Ceil 6 r r
Celu 12 r r alpha:f
CenterCropPad 18 rr r axes:I
Clip 1 r r consumed_inputs:I max:f min:f
Clip 6 r r max:f min:f
Clip 11 r0o0o0 r
Col2Im 18 rrr r dilations:I pads:I strides:I
Compress 9 rr r axis:i
Concat 1 v0 r axis:i
Concat 4 v0 r axis:i!
ConcatFromSequence 11 r r axis:i! new_axis:i
Constant 1 - r value:t!
Constant 11 - r sparse_value:x value:t
Constant 12 - r sparse_value:x value:t value_float:f value_floats:F value_int:i value_ints:I value_string:s value_strings:S
ConstantOfShape 9 r r value:t
Conv 1 r0r0o0 r auto_pad:s dilations:I group:i kernel_shape:I pads:I strides:I
ConvInteger 10 r0r1o0o1 r auto_pad:s dilations:I group:i kernel_shape:I pads:I strides:I
ConvTranspose 1 r0r0o0 r auto_pad:s dilations:I group:i kernel_shape:I output_padding:I output_shape:I pads:I strides:I
Cos 7 r r
Cosh 9 r r
CumProd 26 rr r exclusive:i reverse:i
CumSum 11 rr r exclusive:i reverse:i
DFT 17 ro r axis:i inverse:i onesided:i
DFT 20 roo r inverse:i onesided:i
DeformConv 19 r0r0r0o0o0 r dilations:I group:i kernel_shape:I offset_group:i pads:I strides:I
DepthToSpace 1 r r blocksize:i!
DepthToSpace 11 r r blocksize:i! mode:s
DequantizeLinear 10 r0ro0 r
DequantizeLinear 13 r0ro0 r axis:i
DequantizeLinear 21 r0ro0 r axis:i block_size:i
DequantizeLinear 23 r0ro0 r axis:i block_size:i output_dtype:i
Det 11 r r
Div 1 r0r0 r axis:i broadcast:i consumed_inputs:I
Div 6 r0r0 r axis:i broadcast:i
Div 7 r0r0 r
Dropout 1 r ro consumed_inputs:I is_test:i ratio:f
Dropout 6 r ro is_test:i ratio:f
Dropout 7 r ro ratio:f
Dropout 12 roo ro seed:i
DynamicQuantizeLinear 11 r rrr
Einsum 12 v0 r equation:s!
Elu 1 r r alpha:f consumed_inputs:I
Elu 6 r r alpha:f
Equal 1 r0r0 r axis:i broadcast:i
Equal 7 r0r0 r
Erf 9 r r
Exp 1 r r consumed_inputs:I
Exp 6 r r
Expand 8 rr r
EyeLike 9 r r dtype:i k:i
Flatten 1 r r axis:i
Floor 1 r r consumed_inputs:I
Floor 6 r r
GRU 1 r0r0r0o0oo0 or activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i output_sequence:i
GRU 3 r0r0r0o0oo0 oo activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i linear_before_reset:i output_sequence:i
GRU 7 r0r0r0o0oo0 oo activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i linear_before_reset:i
GRU 14 r0r0r0o0oo0 oo activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i layout:i linear_before_reset:i
Gather 1 rr r axis:i
GatherElements 11 rr r axis:i
GatherND 11 rr r
GatherND 12 rr r batch_dims:i
Gelu 20 r r approximate:s
Gemm 1 r0r0r0 r alpha:f beta:f broadcast:i transA:i transB:i
Gemm 7 r0r0r0 r alpha:f beta:f transA:i transB:i
Gemm 11 r0r0o0 r alpha:f beta:f transA:i transB:i
GlobalAveragePool 1 r r
GlobalLpPool 1 r r p:f
GlobalLpPool 2 r r p:i
GlobalMaxPool 1 r r
Greater 1 r0r0 r axis:i broadcast:i
Greater 7 r0r0 r
GreaterOrEqual 12 r0r0 r
GridSample 16 rr r align_corners:i mode:s padding_mode:s
GroupNormalization 21 r0r0r0 r epsilon:f num_groups:i! stash_type:i
HammingWindow 17 r r output_datatype:i periodic:i
HannWindow 17 r r output_datatype:i periodic:i
HardSigmoid 1 r r alpha:f beta:f consumed_inputs:I
HardSigmoid 6 r r alpha:f beta:f
HardSwish 14 r r
Hardmax 1 r r axis:i
Identity 1 r r
If 1 r v else_branch:g! then_branch:g!
ImageDecoder 20 r r pixel_format:s
InstanceNormalization 1 r0r0r0 r consumed_inputs:I epsilon:f
InstanceNormalization 6 r0r0r0 r epsilon:f
IsInf 10 r r detect_negative:i detect_positive:i
IsNaN 9 r r
LRN 1 r r alpha:f beta:f bias:f size:i!
LSTM 1 r0r0r0o0oo0o0o0 ooo activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i input_forget:i output_sequence:i
LSTM 7 r0r0r0o0oo0o0o0 ooo activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i input_forget:i
LSTM 14 r0r0r0o0oo0o0o0 ooo activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i input_forget:i layout:i
LayerNormalization 17 r0r0o0 roo axis:i epsilon:f stash_type:i
LeakyRelu 1 r r alpha:f consumed_inputs:I
LeakyRelu 6 r r alpha:f
Less 1 r0r0 r axis:i broadcast:i
Less 7 r0r0 r
LessOrEqual 12 r0r0 r
LinearAttention 27 r0r0r0oo0o0 rr chunk_size:i kv_num_heads:i! q_num_heads:i! scale:f update_rule:s
Log 1 r r consumed_inputs:I
Log 6 r r
LogSoftmax 1 r r axis:i
Loop 1 oov v body:g!
LpNormalization 1 r r axis:i p:i
LpPool 1 r r auto_pad:s kernel_shape:I p:f pads:I strides:I
LpPool 2 r r auto_pad:s kernel_shape:I! p:i pads:I strides:I
LpPool 18 r r auto_pad:s ceil_mode:i dilations:I kernel_shape:I! p:i pads:I strides:I
MatMul 1 r0r0 r
MatMulInteger 10 r0r1o0o1 r
Max 1 v0 r consumed_inputs:I
Max 6 v0 r
MaxPool 1 r r auto_pad:s kernel_shape:I! pads:I strides:I
MaxPool 8 r ro auto_pad:s kernel_shape:I! pads:I storage_order:i strides:I
MaxPool 10 r ro auto_pad:s ceil_mode:i dilations:I kernel_shape:I! pads:I storage_order:i strides:I
MaxRoiPool 1 r0r0 r pooled_shape:I! spatial_scale:f
MaxUnpool 9 rr0o0 r kernel_shape:I! pads:I strides:I
Mean 1 v0 r consumed_inputs:I
Mean 6 v0 r
MeanVarianceNormalization 9 r r axes:I
MelWeightMatrix 17 r0r0r0r1r1 r output_datatype:i
Min 1 v0 r consumed_inputs:I
Min 6 v0 r
Mish 18 r r
Mod 10 r0r0 r fmod:i
Mul 1 r0r0 r axis:i broadcast:i consumed_inputs:I
Mul 6 r0r0 r axis:i broadcast:i
Mul 7 r0r0 r
Multinomial 7 r r dtype:i sample_size:i seed:f
Neg 1 r r consumed_inputs:I
Neg 6 r r
NegativeLogLikelihoodLoss 12 r0ro0 r ignore_index:i reduction:s
NonMaxSuppression 10 rrooo r center_point_box:i
NonZero 9 r r
Not 1 r r
OneHot 9 rrr r axis:i
Optional 15 o r type:p
OptionalGetElement 15 r r
OptionalHasElement 15 r r
OptionalHasElement 18 o r
Or 1 r0r0 r axis:i broadcast:i
Or 7 r0r0 r
PRelu 1 r0r0 r consumed_inputs:I
PRelu 6 r0r0 r
Pad 1 r r mode:s paddings:I! value:f
Pad 2 r r mode:s pads:I! value:f
Pad 11 r0ro0 r mode:s
Pad 18 r0ro0o r mode:s
Pow 1 r0r0 r axis:i broadcast:i
Pow 7 r0r0 r
Pow 12 rr r
QLinearConv 10 r0rr0r1rr1rro r auto_pad:s dilations:I group:i kernel_shape:I pads:I strides:I
QLinearMatMul 10 r0rr0r1rr1rr r
QLinearMatMul 21 r0r1r0r2r1r2r1r r
QuantizeLinear 10 rro r
QuantizeLinear 13 rro r axis:i
QuantizeLinear 19 r0r0o r axis:i saturate:i
QuantizeLinear 21 r0r0o r axis:i block_size:i output_dtype:i saturate:i
QuantizeLinear 23 rro r axis:i block_size:i output_dtype:i precision:i saturate:i
RMSNormalization 23 rr r axis:i epsilon:f stash_type:i
RNN 1 r0r0r0o0oo0 oo activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i output_sequence:i
RNN 7 r0r0r0o0oo0 oo activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i
RNN 14 r0r0r0o0oo0 oo activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i layout:i
RandomNormal 1 - r dtype:i mean:f scale:f seed:f shape:I!
RandomNormalLike 1 r r dtype:i mean:f scale:f seed:f
RandomUniform 1 - r dtype:i high:f low:f seed:f shape:I!
RandomUniformLike 1 r r dtype:i high:f low:f seed:f
Range 11 r0r0r0 r
Range 27 r0r0r0 r stash_type:i
Reciprocal 1 r r consumed_inputs:I
Reciprocal 6 r r
ReduceL1 1 r r axes:I keepdims:i
ReduceL1 18 ro r keepdims:i noop_with_empty_axes:i
ReduceL2 1 r r axes:I keepdims:i
ReduceL2 18 ro r keepdims:i noop_with_empty_axes:i
ReduceLogSum 1 r r axes:I keepdims:i
ReduceLogSum 18 ro r keepdims:i noop_with_empty_axes:i
ReduceLogSumExp 1 r r axes:I keepdims:i
ReduceLogSumExp 18 ro r keepdims:i noop_with_empty_axes:i
ReduceMax 1 r r axes:I keepdims:i
ReduceMax 18 ro r keepdims:i noop_with_empty_axes:i
ReduceMean 1 r r axes:I keepdims:i
ReduceMean 18 ro r keepdims:i noop_with_empty_axes:i
ReduceMin 1 r r axes:I keepdims:i
ReduceMin 18 ro r keepdims:i noop_with_empty_axes:i
ReduceProd 1 r r axes:I keepdims:i
ReduceProd 18 ro r keepdims:i noop_with_empty_axes:i
ReduceSum 1 r r axes:I keepdims:i
ReduceSum 13 ro r keepdims:i noop_with_empty_axes:i
ReduceSumSquare 1 r r axes:I keepdims:i
ReduceSumSquare 18 ro r keepdims:i noop_with_empty_axes:i
RegexFullMatch 20 r r pattern:s
Relu 1 r r consumed_inputs:I
Relu 6 r r
Reshape 1 r r consumed_inputs:I shape:I
Reshape 5 rr r
Reshape 14 rr r allowzero:i
Resize 10 rr r mode:s
Resize 11 rrro r coordinate_transformation_mode:s cubic_coeff_a:f exclude_outside:i extrapolation_value:f mode:s nearest_mode:s
Resize 13 rooo r coordinate_transformation_mode:s cubic_coeff_a:f exclude_outside:i extrapolation_value:f mode:s nearest_mode:s
Resize 18 rooo r antialias:i axes:I coordinate_transformation_mode:s cubic_coeff_a:f exclude_outside:i extrapolation_value:f keep_aspect_ratio_policy:s mode:s nearest_mode:s
ReverseSequence 10 rr r batch_axis:i time_axis:i
RoiAlign 10 r0r0r r mode:s output_height:i output_width:i sampling_ratio:i spatial_scale:f
RoiAlign 16 r0r0r r coordinate_transformation_mode:s mode:s output_height:i output_width:i sampling_ratio:i spatial_scale:f
RotaryEmbedding 23 r0r0r0o r interleaved:i num_heads:i rotary_embedding_dim:i
Round 11 r r
STFT 17 r0r1o0o1 r onesided:i
Scan 8 ov v body:g! directions:I num_scan_inputs:i!
Scan 9 v v body:g! num_scan_inputs:i! scan_input_axes:I scan_input_directions:I scan_output_axes:I scan_output_directions:I
Scatter 9 r0rr0 r axis:i
ScatterElements 11 r0rr0 r axis:i
ScatterElements 16 r0rr0 r axis:i reduction:s
ScatterND 11 r0rr0 r
ScatterND 16 r0rr0 r reduction:s
Selu 1 r r alpha:f consumed_inputs:I gamma:f
Selu 6 r r alpha:f gamma:f
SequenceAt 11 rr r
SequenceConstruct 11 v0 r
SequenceEmpty 11 - r dtype:i
SequenceErase 11 ro r
SequenceInsert 11 rro r
SequenceLength 11 r r
SequenceMap 17 rv v body:g!
Shape 1 r r
Shape 15 r r end:i start:i
Shrink 9 r r bias:f lambd:f
Sigmoid 1 r r consumed_inputs:I
Sigmoid 6 r r
Sign 9 r r
Sin 7 r r
Sinh 9 r r
Size 1 r r
Slice 1 r r axes:I ends:I! starts:I!
Slice 10 rr0r0o0o0 r
Softmax 1 r r axis:i
SoftmaxCrossEntropyLoss 12 r0ro0 ro ignore_index:i reduction:s
Softplus 1 r r
Softsign 1 r r
SpaceToDepth 1 r r blocksize:i!
SpaceToDepth 28 r r blocksize:i! mode:s
Split 1 r0o0 v axis:i split:I
Split 2 r v axis:i split:I
Split 13 ro v axis:i
Split 18 ro v axis:i num_outputs:i
SplitToSequence 11 ro r axis:i keepdims:i
Sqrt 1 r r consumed_inputs:I
Sqrt 6 r r
Squeeze 1 r r axes:I
Squeeze 13 ro r
StringConcat 20 r0r0 r
StringNormalizer 10 r r case_change_action:s is_case_sensitive:i locale:s stopwords:S
StringSplit 20 r rr delimiter:s maxsplit:i
Sub 1 r0r0 r axis:i broadcast:i consumed_inputs:I
Sub 6 r0r0 r axis:i broadcast:i
Sub 7 r0r0 r
Sum 1 v0 r consumed_inputs:I
Sum 6 v0 r
SwiGLU 28 r0r0 r alpha:f
Swish 24 r r alpha:f
Tan 7 r r
Tanh 1 r r consumed_inputs:I
Tanh 6 r r
TensorScatter 24 r0r0o r axis:i mode:s
TfIdfVectorizer 9 r r max_gram_length:i! max_skip_count:i! min_gram_length:i! mode:s! ngram_counts:I! ngram_indexes:I! pool_int64s:I pool_strings:S weights:F
ThresholdedRelu 10 r r alpha:f
Tile 1 r0r0r0 r
Tile 6 rr r
TopK 1 r rr axis:i k:i!
TopK 10 rr rr axis:i
TopK 11 rr rr axis:i largest:i sorted:i
Transpose 1 r r perm:I
Trilu 14 ro r upper:i
Unique 11 r rooo axis:i sorted:i
Unsqueeze 1 r r axes:I!
Unsqueeze 13 rr r
Upsample 1 r r height_scale:f! mode:s width_scale:f!
Upsample 7 r r mode:s scales:F!
Upsample 9 rr r mode:s
Where 9 rr0r0 r
Xor 1 r0r0 r axis:i broadcast:i
Xor 7 r0r0 r
`;
