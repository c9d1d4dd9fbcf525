/* common.h - what several lessons share.
 *
 * A lesson writes out the calls that it introduces. What an earlier lesson has taught is here,
 * under a name that says what it does. It is for programs with one thread. */
#ifndef COMMON_H
#define COMMON_H

#include "arguments.h" /* the command line */
#include "endpoints.h" /* an IP address and a port (lesson 02) */
#include "messages.h"  /* what a program prints, and how it ends when a call fails */
#include "proc_net.h"  /* the kernel's table of sockets (lesson 04) */
#include "snapshot.h"  /* what the kernel says of all sockets, as JSON (lesson 12) */
#include "sockets.h"   /* a listener, a connection: lessons 02 to 07 in one call each */
#include "stop.h"      /* ^C */

#endif
