// Classifies the points of a text file (x y z on each line) with an exported network, by OpenVINO,
// which reads .onnx and .xml alike; model.onnx.json beside it names the classes.
//   ./classify model.onnx chair.xyz
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>
#include <openvino/openvino.hpp>

int main(int argc, char** argv) {
    if (argc != 3) return std::cerr << "classify MODEL POINTS\n", 2;
    std::ifstream file(argv[2]);
    std::vector<float> points;
    for (float value; file >> value;) points.push_back(value);
    const size_t count = points.size() / 3;
    if (count == 0) return std::cerr << argv[2] << ": no points\n", 1;

    float mean[3] = {}, radius = 0;  // to the unit sphere
    for (size_t i = 0; i < points.size(); ++i) mean[i % 3] += points[i] / count;
    for (size_t i = 0; i < points.size(); ++i) points[i] -= mean[i % 3];
    for (size_t i = 0; i < count; ++i)
        radius = std::max(radius, std::hypot(points[3 * i], points[3 * i + 1], points[3 * i + 2]));
    for (float& value : points) value /= radius;

    ov::Core core;
    auto network = core.compile_model(argv[1], "CPU", ov::hint::inference_precision(ov::element::f32));
    auto request = network.create_infer_request();
    request.set_input_tensor(ov::Tensor(ov::element::f32, {1, count, 3}, points.data()));
    request.infer();
    const auto logits = request.get_output_tensor();
    const float* first = logits.data<float>();
    const float* best = std::max_element(first, first + logits.get_size());

    std::ifstream about(std::string(argv[1]) + ".json");  // "classes": ["bathtub", ...]
    std::string text((std::istreambuf_iterator<char>(about)), {});
    const char* number = text.c_str() + text.find("\"temperature\":") + 14;
    const double temperature = std::strtod(number, nullptr);
    double sum = 0;
    for (size_t i = 0; i < logits.get_size(); ++i) sum += std::exp((first[i] - *best) / temperature);

    size_t at = text.find("\"classes\"") + 9;
    for (auto i = 2 * (best - first) + 1; i > 0; --i) at = text.find('"', at + 1);
    std::cout << text.substr(at + 1, text.find('"', at + 1) - at - 1) << " " << 100 / sum << " %\n";
}
