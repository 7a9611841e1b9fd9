// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/syscall.h"

#include <stddef.h>
#include <sys/syscall.h>

/* [SYS_read] = "read", ...: made by the Makefile from the C library's list */
static const char *const names[] = {
#include "syscall_names.h"
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *syscall_name(long nr)
{
	return nr >= 0 && (size_t)nr < COUNT(names) ? names[nr] : NULL;
}

/* Those that may sleep for long. arm64 has none of the old ones. */
static const unsigned char about[COUNT(names)] = {
	[SYS_read] = SYSCALL_FD,
	[SYS_write] = SYSCALL_FD,
	[SYS_readv] = SYSCALL_FD,
	[SYS_writev] = SYSCALL_FD,
	[SYS_pread64] = SYSCALL_FD,
	[SYS_pwrite64] = SYSCALL_FD,
	[SYS_preadv] = SYSCALL_FD,
	[SYS_pwritev] = SYSCALL_FD,
	[SYS_preadv2] = SYSCALL_FD,
	[SYS_pwritev2] = SYSCALL_FD,
	[SYS_recvfrom] = SYSCALL_FD,
	[SYS_sendto] = SYSCALL_FD,
	[SYS_recvmsg] = SYSCALL_FD,
	[SYS_sendmsg] = SYSCALL_FD,
	[SYS_recvmmsg] = SYSCALL_FD,
	[SYS_sendmmsg] = SYSCALL_FD,
	[SYS_accept] = SYSCALL_FD,
	[SYS_accept4] = SYSCALL_FD,
	[SYS_connect] = SYSCALL_FD,
	[SYS_shutdown] = SYSCALL_FD,
	[SYS_close] = SYSCALL_FD,
	[SYS_sendfile] = SYSCALL_FD,
	[SYS_splice] = SYSCALL_FD,
	[SYS_tee] = SYSCALL_FD,
	[SYS_fsync] = SYSCALL_FD,
	[SYS_fdatasync] = SYSCALL_FD,
	[SYS_ftruncate] = SYSCALL_FD,
	[SYS_fallocate] = SYSCALL_FD,
	[SYS_flock] = SYSCALL_FD,
	[SYS_fcntl] = SYSCALL_FD,
	[SYS_ioctl] = SYSCALL_FD,
	[SYS_getdents64] = SYSCALL_FD,
	[SYS_fstat] = SYSCALL_FD,
	[SYS_epoll_pwait] = SYSCALL_FD,
	[SYS_ppoll] = SYSCALL_POLL,
	[SYS_pselect6] = SYSCALL_SELECT,
	[SYS_futex] = SYSCALL_FUTEX,
	[SYS_wait4] = SYSCALL_WAIT4,
	[SYS_waitid] = SYSCALL_WAITID,
	[SYS_openat] = SYSCALL_PATH_AT,
	[SYS_newfstatat] = SYSCALL_PATH_AT,
	[SYS_statx] = SYSCALL_PATH_AT,
	[SYS_unlinkat] = SYSCALL_PATH_AT,
	[SYS_mkdirat] = SYSCALL_PATH_AT,
	[SYS_faccessat] = SYSCALL_PATH_AT,
	[SYS_readlinkat] = SYSCALL_PATH_AT,
	[SYS_renameat] = SYSCALL_PATH_AT,
	[SYS_chdir] = SYSCALL_PATH,
	[SYS_execve] = SYSCALL_PATH,
	[SYS_statfs] = SYSCALL_PATH,
#ifdef SYS_epoll_wait
	[SYS_epoll_wait] = SYSCALL_FD,
#endif
#ifdef SYS_epoll_pwait2
	[SYS_epoll_pwait2] = SYSCALL_FD,
#endif
#ifdef SYS_io_uring_enter
	[SYS_io_uring_enter] = SYSCALL_FD,
#endif
#ifdef SYS_poll
	[SYS_poll] = SYSCALL_POLL,
	[SYS_select] = SYSCALL_SELECT,
	[SYS_open] = SYSCALL_PATH,
	[SYS_stat] = SYSCALL_PATH,
	[SYS_lstat] = SYSCALL_PATH,
	[SYS_access] = SYSCALL_PATH,
	[SYS_readlink] = SYSCALL_PATH,
	[SYS_unlink] = SYSCALL_PATH,
	[SYS_mkdir] = SYSCALL_PATH,
	[SYS_rename] = SYSCALL_PATH,
#endif
};

enum syscall_about syscall_about(long nr)
{
	return nr >= 0 && (size_t)nr < COUNT(about) ? (enum syscall_about)about[nr]
						    : SYSCALL_NOTHING;
}
