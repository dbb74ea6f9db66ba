#pragma once

// Each runs one command on its arguments, argv[0] being `unroll COMMAND`; prints to stdout, throws
// unroll::Error.
namespace unroll::app {

void train(int argc, const char* const* argv);
void generate(int argc, const char* const* argv);
void evaluate(int argc, const char* const* argv);
void compare(int argc, const char* const* argv);
void reproduce(int argc, const char* const* argv);
void bench(int argc, const char* const* argv);
void convert(int argc, const char* const* argv);
void info(int argc, const char* const* argv);

}  // namespace unroll::app
