/* Saves a new certificate, or loads one and prints what it found. */
#include <czmq.h>
int main (int argc, char **argv)
{
    zcert_t *cert = NULL;
    if (argc == 3 && streq (argv [1], "load")) {
        cert = zcert_load (argv [2]);
        if (!cert)
            return 1;
        printf ("%s\n%s\n%s\n", zcert_public_txt (cert), zcert_secret_txt (cert), zcert_meta (cert, "name"));
    }
    else {
        cert = zcert_new ();
        zcert_set_meta (cert, "name", "%s", "Grace");
        if (zcert_save (cert, argv [2]))
            return 1;
        printf ("%s\n%s\n", zcert_public_txt (cert), zcert_secret_txt (cert));
    }
    zcert_destroy (&cert);
    return 0;
}
