/* SPDX-License-Identifier: MIT
 * app/tokenizer_commands.h - the parts of `cllm tokenizer`, each in a file of its own.
 */
#ifndef APP_TOKENIZER_COMMANDS_H
#define APP_TOKENIZER_COMMANDS_H

int tokenizer_command_train(int argc, char **argv);
int tokenizer_command_encode(int argc, char **argv);
int tokenizer_command_decode(int argc, char **argv);

#endif
