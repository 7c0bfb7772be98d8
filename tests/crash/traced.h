/* SPDX-License-Identifier: MIT
 * Runs a program and meets it at the system calls that matter to files below one directory: kills it there, makes the call
 * fail, or gives it less than it asked for.  It is the program that people run, not a build of its own.
 *
 * A seccomp filter stops the traced process (ptrace) at the listed calls and at nothing else; those that do not concern the
 * directory are let go.  x86-64 Linux: elsewhere traced_supported is false.
 */
#ifndef TESTS_CRASH_TRACED_H
#define TESTS_CRASH_TRACED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#if defined(__x86_64__) && defined(__linux__)
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a call is to us. */
enum {
    CALL_CHANGES = 1,      /* a file or directory is another thereafter, or is known to be on the disk */
    CALL_INTERRUPTED = 2,  /* may give EINTR */
    CALL_COUNTS = 4,       /* moves up to as many bytes as the third argument says */
    CALL_PATH = 8,         /* its first argument is a path */
    CALL_PATH_AT = 16,     /* its second is, below the descriptor that is its first */
    CALL_FD = 32,          /* its first is a descriptor */
    CALL_PATH_2 = 64       /* its second is a path (a link's name) */
};
static const struct traced_call {
    const char *name;
    int nr, is;
} traced_calls[] = {
    {"open", SYS_open, CALL_CHANGES | CALL_INTERRUPTED | CALL_PATH},
    {"openat", SYS_openat, CALL_CHANGES | CALL_INTERRUPTED | CALL_PATH_AT},
    {"write", SYS_write, CALL_CHANGES | CALL_INTERRUPTED | CALL_COUNTS | CALL_FD},
    {"pwrite", SYS_pwrite64, CALL_CHANGES | CALL_INTERRUPTED | CALL_COUNTS | CALL_FD},
    {"read", SYS_read, CALL_INTERRUPTED | CALL_COUNTS | CALL_FD},
    {"pread", SYS_pread64, CALL_INTERRUPTED | CALL_COUNTS | CALL_FD},
    {"fsync", SYS_fsync, CALL_CHANGES | CALL_INTERRUPTED | CALL_FD},
    {"fdatasync", SYS_fdatasync, CALL_CHANGES | CALL_INTERRUPTED | CALL_FD},
    {"ftruncate", SYS_ftruncate, CALL_CHANGES | CALL_INTERRUPTED | CALL_FD},
    {"flock", SYS_flock, CALL_INTERRUPTED | CALL_FD},
    {"close", SYS_close, CALL_INTERRUPTED | CALL_FD},
    {"rename", SYS_rename, CALL_CHANGES | CALL_PATH},
    {"renameat", SYS_renameat, CALL_CHANGES | CALL_PATH_AT},
    {"renameat2", SYS_renameat2, CALL_CHANGES | CALL_PATH_AT},
    {"mkdir", SYS_mkdir, CALL_CHANGES | CALL_PATH},
    {"mkdirat", SYS_mkdirat, CALL_CHANGES | CALL_PATH_AT},
    {"unlink", SYS_unlink, CALL_CHANGES | CALL_PATH},
    {"unlinkat", SYS_unlinkat, CALL_CHANGES | CALL_PATH_AT},
    {"rmdir", SYS_rmdir, CALL_CHANGES | CALL_PATH},
    {"symlink", SYS_symlink, CALL_CHANGES | CALL_PATH_2},
    {"statfs", SYS_statfs, CALL_INTERRUPTED | CALL_PATH},
};
enum { TRACED_CALLS = sizeof traced_calls / sizeof *traced_calls };

enum traced_action { TRACED_COUNT, TRACED_KILL, TRACED_FAIL, TRACED_SHORT };

/* The k-th call of those that `wanted` says (of thread `thread`, NULL: of any) and that concern files below `below` meets
 * `action`; so do the `more` after it (TRACED_FAIL, TRACED_SHORT). */
struct traced {
    const char *below;
    int wanted;         /* CALL_CHANGES, CALL_INTERRUPTED or CALL_COUNTS */
    const char *thread;
    enum traced_action action;
    long k, more;       /* k from 0; -1: none */
    int fail_with;      /* errno */
    bool alternate;     /* of those calls every other one */
    /* out */
    long calls;         /* met */
    char met[PATH_MAX + 64]; /* what the k-th was */
};

static inline const struct traced_call *traced__call(unsigned long long nr)
{
    for (size_t i = 0; i < TRACED_CALLS; i++)
        if ((unsigned long long)traced_calls[i].nr == nr)
            return &traced_calls[i];
    return NULL;
}

static inline void traced__text(pid_t pid, unsigned long long address, char *out, size_t size)
{
    out[0] = 0;
    for (size_t n = 0; n + 1 < size; n++) { /* a byte at a time: the text may end at the end of a mapping */
        struct iovec here = {out + n, 1}, there = {(void *)(uintptr_t)(address + n), 1};
        if (process_vm_readv(pid, &here, 1, &there, 1, 0) != 1 || out[n] == 0) {
            out[n] = 0;
            return;
        }
    }
    out[size - 1] = 0;
}

static inline void traced__fd_path(pid_t pid, long long fd, char *out, size_t size)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/%d/fd/%lld", (int)pid, fd);
    const ssize_t n = readlink(link, out, size - 1);
    out[n > 0 ? n : 0] = 0;
}

/* The file that the call is about; "" when it is about none. */
static inline void traced__file(pid_t pid, const struct traced_call *call, const struct user_regs_struct *regs, char *out,
                                size_t size)
{
    char name[PATH_MAX];
    if (call->is & CALL_FD) {
        traced__fd_path(pid, (int)regs->rdi, out, size);
    } else if (call->is & CALL_PATH_AT) {
        traced__text(pid, regs->rsi, name, sizeof name);
        traced__fd_path(pid, (int)regs->rdi, out, size);
        const size_t n = strlen(out);
        if (name[0] == '/' || (int)regs->rdi == AT_FDCWD)
            snprintf(out, size, "%s", name);
        else
            snprintf(out + n, size - n, "/%s", name);
    } else {
        traced__text(pid, call->is & CALL_PATH_2 ? regs->rsi : regs->rdi, out, size);
    }
}

static inline bool traced__of_thread(pid_t pid, const char *thread)
{
    if (!thread)
        return true;
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "re");
    if (file && !fgets(name, sizeof name, file))
        name[0] = 0;
    if (file)
        fclose(file);
    name[strcspn(name, "\n")] = 0;
    return strcmp(name, thread) == 0;
}

/* At a call; true: the process was killed. */
static inline bool traced__meet(struct traced *t, pid_t leader, pid_t pid)
{
    struct user_regs_struct regs;
    if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) != 0)
        return false;
    const struct traced_call *call = traced__call(regs.orig_rax);
    char file[PATH_MAX];
    if (!call || !(call->is & t->wanted) || !traced__of_thread(pid, t->thread))
        return false;
    /* Opening for reading changes nothing. */
    const unsigned long long flags = call->nr == SYS_openat ? regs.rdx : call->nr == SYS_open ? regs.rsi : O_WRONLY;
    if (t->wanted == CALL_CHANGES && (flags & O_ACCMODE) == O_RDONLY)
        return false;
    traced__file(pid, call, &regs, file, sizeof file);
    if (strncmp(file, t->below, strlen(t->below)) != 0)
        return false;
    if (t->wanted == CALL_COUNTS && regs.rdx < 2)
        return false;
    const long at = t->calls++;
    if (t->action == TRACED_COUNT || t->k < 0 || at < t->k || at > t->k + t->more ||
        (t->alternate && (at - t->k) % 2))
        return false;
    if (at == t->k)
        snprintf(t->met, sizeof t->met, "%s of %s", call->name, file);
    switch (t->action) {
    case TRACED_KILL:
        kill(leader, SIGKILL);
        return true;
    case TRACED_FAIL:
        regs.orig_rax = (unsigned long long)-1; /* no call is made … */
        regs.rax = (unsigned long long)-(long long)t->fail_with; /* … and this is what it gives */
        ptrace(PTRACE_SETREGS, pid, NULL, &regs);
        break;
    case TRACED_SHORT:
        regs.rdx = regs.rdx > 4096 ? regs.rdx / 2 : 1;
        ptrace(PTRACE_SETREGS, pid, NULL, &regs);
        break;
    case TRACED_COUNT:
        break;
    }
    return false;
}

static inline void traced__child(char *const argv[], const char *log)
{
    struct sock_filter filter[TRACED_CALLS + 5];
    size_t n = 0;
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < TRACED_CALLS; i++)
        filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)traced_calls[i].nr,
                                                   (unsigned char)(TRACED_CALLS - i), 0);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    const struct sock_fprog program = {(unsigned short)n, filter};
    const int out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0666), in = open("/dev/null", O_RDONLY);
    dup2(in, 0);
    dup2(out, 1);
    dup2(out, 2);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0 || raise(SIGSTOP) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(125);
    execv(argv[0], argv);
    _exit(126);
}

/* The wait status of the program; -1 when it could not be traced.  Its output goes to `log`. */
static inline int traced_run(struct traced *t, char *const argv[], const char *log)
{
    t->calls = 0;
    t->met[0] = 0;
    const pid_t leader = fork();
    if (leader == 0)
        traced__child(argv, log);
    int status, result = -1;
    if (leader < 0 || waitpid(leader, &status, 0) != leader || !WIFSTOPPED(status))
        return -1;
    ptrace(PTRACE_SETOPTIONS, leader, NULL, PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEEXEC);
    ptrace(PTRACE_CONT, leader, NULL, NULL);
    for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0;) {
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (pid == leader)
                result = status;
            continue;
        }
        const int event = status >> 16, signal = WSTOPSIG(status);
        if (event == PTRACE_EVENT_SECCOMP && traced__meet(t, leader, pid))
            continue;
        /* Threads begin with a SIGSTOP that is none. */
        const long deliver = event || signal == SIGSTOP || signal == SIGTRAP ? 0 : signal;
        ptrace(PTRACE_CONT, pid, NULL, deliver);
    }
    return result;
}

static inline bool traced_supported(void)
{
    static char program[] = "/bin/true";
    char *const argv[] = {program, NULL};
    struct traced t = {.below = "/nowhere", .wanted = CALL_CHANGES, .k = -1};
    const int status = traced_run(&t, argv, "/dev/null");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
#endif
#endif
