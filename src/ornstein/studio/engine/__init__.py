"""What the door talks to: jobs and their queue, the processes that draw and show, and the results they leave."""
