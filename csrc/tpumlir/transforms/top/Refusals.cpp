#include "tpumlir/transforms/top/Reading.h"

/// The vendor's Top ops that this dialect does not have.
using namespace mlir;

namespace tpumlir::top {
namespace {

/// What can be done about an op, common to many.
constexpr StringLiteral kFromOnnx =
    "import the ONNX model with model_transform of this tool, which writes it "
    "in operations that it has";
constexpr StringLiteral kCut =
    "end the model before it (model_transform --output_names) and compute it "
    "on the host";
constexpr StringLiteral kStatic =
    "fix the shapes of the inputs (model_transform --input_shapes), so that "
    "the front end computes it";
constexpr StringLiteral kInference = "export the model for inference";
constexpr StringLiteral kFloat =
    "write the text anew from the model in float32; --quantize and "
    "--quantize_table choose precisions here";

struct Refusal {
  StringLiteral name, why, remedy;
};

constexpr StringLiteral kNoOp = "no operation of this compiler computes it";
constexpr StringLiteral kOpenShape = "the size of its result depends on data";
constexpr StringLiteral kDetection = "it is a detection layer of Caffe";
constexpr StringLiteral kTraining = "it belongs to training";
constexpr StringLiteral kQuantised = "its operands are quantised";
constexpr StringLiteral kLanguage =
    "it is a layer of the vendor's flow for language models";
constexpr StringLiteral kFrontEnd =
    "it is left over from the vendor's front end";
constexpr StringLiteral kManyChips = "it needs several chips";
constexpr StringLiteral kImage = "it processes raw images";

const Refusal kRefusals[] = {
    {"A16Gather", kQuantised, kFloat},
    {"A16MatMul", kQuantised, kFloat},
    {"Arange", kOpenShape, kStatic},
    {"Attention", kLanguage, kFromOnnx},
    {"BatchNormBwd", kTraining, kInference},
    {"BatchNormTrain", kTraining, kInference},
    {"BinaryConstShift", kNoOp, kFromOnnx},
    {"BinaryShift", kNoOp, kFromOnnx},
    {"C2CAllReduce", kManyChips, kCut},
    {"C2CBroadcast", kManyChips, kCut},
    {"ChunkGatedDeltaRule", kLanguage, kCut},
    {"ConcatSlice", kFrontEnd, kFromOnnx},
    {"ConcatVolume", kNoOp, kCut},
    {"ConvBwd_Weight", kTraining, kInference},
    {"Convbwd", kTraining, kInference},
    {"Copy", kFrontEnd, kFromOnnx},
    {"Correlation", kNoOp, kCut},
    {"Csc", kImage, kCut},
    {"Custom", kNoOp, kCut},
    {"DeformConv2D", kNoOp, kFromOnnx},
    {"DepackRaw", kImage, kCut},
    {"DequantInt", kQuantised, kFloat},
    {"DetectionOutput", kDetection, kCut},
    {"DtypeCast", kFrontEnd, kFromOnnx},
    {"Einsum", kFrontEnd, kFromOnnx},
    {"EmbDenseBwd", kTraining, kInference},
    {"FAttention", kLanguage, kFromOnnx},
    {"FAttentionLse", kLanguage, kCut},
    {"FlexAttention", kLanguage, kCut},
    {"Fp8MatMul", kQuantised, kFloat},
    {"FrcnDetection", kDetection, kCut},
    {"GridSampler", kNoOp, kFromOnnx},
    {"GroupNormTrain", kTraining, kInference},
    {"If", "a chip program has no branches", kFromOnnx},
    {"IndexPut", kFrontEnd, kFromOnnx},
    {"Insert", kFrontEnd, kFromOnnx},
    {"LayerNormBwd", kTraining, kInference},
    {"LayerNormTrain", kTraining, kInference},
    {"List", kFrontEnd, kFromOnnx},
    {"LogB", kNoOp, kFromOnnx},
    {"Loop", "a chip program has no loops", kFromOnnx},
    {"Lut", kQuantised, kFloat},
    {"MaskRCNN_BboxPooler", kDetection, kCut},
    {"MaskRCNN_GetBboxB", kDetection, kCut},
    {"MaskRCNN_MaskPooler", kDetection, kCut},
    {"MaskRCNN_RPNGetBboxes", kDetection, kCut},
    {"MaskedFill", kFrontEnd, kFromOnnx},
    {"MatchTemplate", kNoOp, kCut},
    {"MaxPoolWithMask", kNoOp, kFromOnnx},
    {"MaxPoolingIndicesBwd", kTraining, kInference},
    {"MaxUnpool", kNoOp, kFromOnnx},
    {"MeanRstd", kTraining, kInference},
    {"MeanStdScale", kImage, kCut},
    {"MeshGrid", kFrontEnd, kFromOnnx},
    {"Mlp", kLanguage, kFromOnnx},
    {"Mmap2Rgbmap", kImage, kCut},
    {"Nms", kOpenShape, kCut},
    {"NonZero", kOpenShape, kCut},
    {"Normalize", kNoOp, kFromOnnx},
    {"Pack", kFrontEnd, kFromOnnx},
    {"PoolMask", kNoOp, kCut},
    {"Preprocess", kImage, kCut},
    {"PriorBox", kDetection, kCut},
    {"Proposal", kDetection, kCut},
    {"ROIPooling", kDetection, kCut},
    {"RandnLike", "it draws random numbers",
     "give the noise as an input of the model"},
    {"Range", kOpenShape, kStatic},
    {"RecurrentGatedDeltaRule", kLanguage, kCut},
    {"Remainder", kFrontEnd, kFromOnnx},
    {"Repeat", kFrontEnd, kFromOnnx},
    {"RequantFp", kQuantised, kFloat},
    {"RequantInt", kQuantised, kFloat},
    {"RetinaFaceDetection", kDetection, kCut},
    {"RoiAlign", kNoOp, kFromOnnx},
    {"RoiExtractor", kDetection, kCut},
    {"Rope", kLanguage, kFromOnnx},
    {"ScaleDotProductAttention", kFrontEnd, kFromOnnx},
    {"ScaleLut", kQuantised, kFloat},
    {"SelectiveScan", kLanguage, kCut},
    {"ShuffleChannel", kFrontEnd, kFromOnnx},
    {"Size", kOpenShape, kStatic},
    {"SliceAxis", kFrontEnd, kFromOnnx},
    {"SoftmaxBwd", kTraining, kInference},
    {"Sort", kNoOp, "write it as TopK of the whole axis in the model"},
    {"StridedSlice", kFrontEnd, kFromOnnx},
    {"SwapChannel", kFrontEnd, kFromOnnx},
    {"SwapDimInner", kFrontEnd, kFromOnnx},
    {"Tuple", kFrontEnd, kFromOnnx},
    {"UnTuple", kFrontEnd, kFromOnnx},
    {"Unpack", kFrontEnd, kFromOnnx},
    {"Variance", kFrontEnd, kFromOnnx},
    {"View", kFrontEnd, kFromOnnx},
    {"WeightReorder", kFrontEnd, kFromOnnx},
    {"Yield", "a chip program has no branches", kFromOnnx},
    {"YoloDetection", kDetection, kCut},
    {"Yuv2rgbFormula", kImage, kCut},
};

} // namespace

bool refuseUnknownOps(ModuleOp module) {
  bool known = true;
  module.walk([&](Operation *op) {
    StringRef name = op->getName().getStringRef();
    if (op->isRegistered() || !name.consume_front("top."))
      return;
    const Refusal *refusal = llvm::find_if(
        kRefusals, [&](const Refusal &entry) { return entry.name == name; });
    if (refusal == std::end(kRefusals))
      return; // the verifier says that there is no such op
    op->emitError() << op->getName() << " is not supported: " << refusal->why
                    << " (" << refusal->remedy << ")";
    known = false;
  });
  return known;
}

} // namespace tpumlir::top
