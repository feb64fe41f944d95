"""
The demo around the service: starts it beside a Clew server, asks, shows and checks the traces.

    run        from start to Ctrl-C
    processes  the two servers: started, watched, ended
    script     what is asked, and the trace that each question must leave
    shape      the shape of a trace, and the difference between two
    clients    what is asked of the service and of Clew, over HTTP
    show       all that is printed
"""
